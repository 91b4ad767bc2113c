import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

/** Each imports only from those before it. */
const LAYERS = [
  "errors",
  "dtypes",
  "bytes",
  "checkpoint",
  "formula",
  "methods",
  "fisher",
  "hub",
  "recipe",
  "plan",
  "run",
  "report",
  "graph",
  "runtime",
  "architectures",
  "data",
  "model",
  "estimate",
  "train",
  "evaluate",
  "diagnose",
  "study",
  "demo",
  "cli",
];
const project = fileURLToPath(new URL("../..", import.meta.url));
const trial = mkdtempSync(join(tmpdir(), "gradmerge-layers-"));
afterAll(() => rmSync(trial, { recursive: true }));

const fileOf = (layer: string) => (layer === "errors" ? "errors.ts" : `${layer}/unit.ts`);
const importOf = (from: string, to: string) => {
  const up = from === "errors" ? "./" : "../";
  return up + (to === "errors" ? "errors.js" : `${to}/unit.js`);
};

/** Lints a source tree, given by path and text, under the project's own configuration; gives the files with upward imports. */
function refused(files: Record<string, string>): string[] {
  const root = mkdtempSync(join(trial, "tree-"));
  copyFileSync(join(project, ".oxlintrc.json"), join(root, ".oxlintrc.json"));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  const oxlint = join(project, "node_modules/oxlint/bin/oxlint");
  const run = spawnSync(process.execPath, [oxlint, "--format", "unix"], {
    cwd: root,
    encoding: "utf8",
  });
  return run.stdout
    .split("\n")
    .filter((line) => line.includes("no-restricted-imports"))
    .map((line) => line.slice(0, line.indexOf(":")))
    .sort();
}

describe("layer order", () => {
  it("covers every folder of src", () => {
    const folders = readdirSync(join(project, "src"), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
    expect(LAYERS).toEqual(expect.arrayContaining(folders));
  });

  it("refuses each import of a later layer, and none of an earlier one", () => {
    const files: Record<string, string> = {};
    const upward: string[] = [];
    for (const [i, from] of LAYERS.entries()) {
      files[`src/${fileOf(from)}`] = "export const x = 1;\n";
      for (const [j, to] of LAYERS.entries()) {
        if (i === j) continue;
        // A file for each pair, so that one refusal cannot hide another.
        const path =
          from === "errors" ? "src/errors.ts" : `src/${from}/${i < j ? "up" : "down"}-${to}.ts`;
        if (from === "errors") {
          files[path] += `export { x as ${to} } from "${importOf(from, to)}";\n`;
        } else {
          files[path] = `export { x } from "${importOf(from, to)}";\n`;
        }
        if (i < j) upward.push(path);
      }
    }
    files["src/index.ts"] = `export { x } from "./cli/unit.js";\n`;
    expect(refused(files)).toEqual(upward.sort());
  });

  it("refuses the public index inside every layer", () => {
    const files: Record<string, string> = { "src/index.ts": "export const x = 1;\n" };
    for (const layer of LAYERS) {
      const path = layer === "errors" ? "./index.js" : "../index.js";
      files[`src/${fileOf(layer)}`] = `export { x as y } from "${path}";\n`;
    }
    expect(refused(files)).toEqual(LAYERS.map((layer) => `src/${fileOf(layer)}`).sort());
  });
});
