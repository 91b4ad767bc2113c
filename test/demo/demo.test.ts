import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.js";
import { readWeights } from "../../src/demo/folders.js";
import { demoMerges } from "../../src/demo/merges.js";
import { WEIGHT_DECAY, createWorld } from "../../src/demo/world.js";
import { parseFisherMetadata, weightsFingerprint } from "../../src/fisher/format.js";

const root = mkdtempSync(join(tmpdir(), "gradmerge-demo-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const out = join(root, "demo");
const seed = 3;

function demo(folder: string) {
  if (!inject("built")) throw new Error("dist could not be built: the type errors stand above");
  const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
  const args = [main, "demo", "--quick", "--seed", String(seed), "--out", folder];
  return spawnSync(process.execPath, args, { encoding: "utf8" });
}

describe("gradmerge demo --quick", () => {
  let run: ReturnType<typeof demo>;
  beforeAll(() => {
    run = demo(out);
  }, 60_000);
  const world = createWorld(seed, true);

  it("prints its tables in 80 columns and names the report to open", () => {
    expect(run.stderr).toContain("gradmerge merge");
    expect(run.status).toBe(0);
    for (const line of run.stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
    expect(run.stdout.trimEnd().split("\n").at(-1)).toContain(join(out, "report.html"));
    expect(existsSync(join(out, "report.html"))).toBe(true);
  });

  it("shows every merge of the recipes in its results", () => {
    const results = JSON.parse(readFileSync(join(out, "results.json"), "utf8"));
    expect(results.merges.map(({ id }: { id: string }) => id)).toEqual(
      demoMerges(true).map(({ id }) => id),
    );
    const page = readFileSync(join(out, "report.html"), "utf8");
    for (const { row } of demoMerges(true)) expect(page).toContain(row);
  });

  it("merges by the command line what equation 12 gives in float64, within 1e-6 of the largest weight", async () => {
    const { base, tasks, network } = world;
    const merged = await readWeights(
      join(out, "merged", "four-tasks-gradient_matching-0.5"),
      network,
    );
    const largest = Math.max(...base.theta.map(Math.abs));
    merged.forEach((x, i) => {
      const prior = (base.fisher[i] ?? NaN) * base.trainSize + WEIGHT_DECAY;
      let pull = 0;
      let precision = prior;
      for (const { theta, fisher, trainSize } of tasks) {
        const h = (fisher[i] ?? NaN) * trainSize;
        pull += 0.5 * (prior + h) * ((theta[i] ?? NaN) - (base.theta[i] ?? NaN));
        precision += 0.5 * h;
      }
      const expected = (base.theta[i] ?? NaN) + pull / precision;
      expect(Math.abs(x - expected)).toBeLessThan(1e-6 * largest);
    });
  });

  it("writes Fishers that name the weights they belong to", async () => {
    const checkpoint = await openCheckpoint(join(out, "models", "food"));
    const path = join(out, "models", "food", "fisher.safetensors");
    const fisher = await openCheckpoint(path);
    const metadata = parseFisherMetadata(fisher.metadata, path);
    expect(metadata).toMatchObject({
      trainSize: 600,
      examples: 600,
      labels: "exact",
      model: "food",
    });
    expect(metadata?.weights).toBe(weightsFingerprint(checkpoint));
    checkpoint.close();
    fisher.close();
  });

  it("refuses a folder that is not a demo's, and leaves it alone", () => {
    const folder = mkdtempSync(join(root, "precious-"));
    writeFileSync(join(folder, "file"), "precious");
    const refused = demo(folder);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain(folder);
    expect(readFileSync(join(folder, "file"), "utf8")).toBe("precious");
  });
});
