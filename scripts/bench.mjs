/**
 * `npm run bench`: lists the benchmarks of bench/. `npm run bench NAME [-- ARGUMENTS]` runs one.
 * A benchmark is bench/NAME.ts, compiled together with src into .bench/build, or bench/NAME.mjs.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { node, root, setUp } from "./setup.mjs";

const [name, ...args] = process.argv.slice(2);
const files = readdirSync(join(root, "bench")).filter((file) => /^[^.]+\.(ts|mjs)$/.test(file));
const file = files.find((one) => one.replace(/\.\w+$/, "") === name);

if (name === undefined) {
  console.log("npm run bench NAME [-- ARGUMENTS]\n");
  for (const one of files) console.log(`  ${one.replace(/\.\w+$/, "").padEnd(16)} ${summary(one)}`);
} else if (file === undefined) {
  console.error(`no benchmark ${name}; there are: ${files.join(", ") || "none"}`);
  process.exitCode = 1;
} else {
  setUp();
  let script = join("bench", file);
  if (file.endsWith(".ts")) {
    node("node_modules/typescript/bin/tsc", "-p", "tsconfig.bench.json");
    script = join(".bench/build/bench", file.replace(/\.ts$/, ".js"));
  }
  if (!existsSync(join(root, script))) throw new Error(`${script} was not built`);
  const flags = ["--expose-gc", script, ...args];
  process.exitCode =
    spawnSync(process.execPath, flags, { cwd: root, stdio: "inherit" }).status ?? 1;
}

/** The first sentence of the comment that a benchmark begins with. */
function summary(path) {
  const comment = /^\/\*\*([^]*?)\*\//.exec(readFileSync(join(root, "bench", path), "utf8"))?.[1];
  return (
    comment
      ?.replace(/\s*\n?\s*\*\s/g, " ")
      .trim()
      .split(/(?<=\.)\s/)[0] ?? ""
  );
}
