import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { random } from "../random.js";
import { built, expectSuccess, gradmerge, hashes, run, temporaryFolder } from "./command.js";
import { randomWeights, writeModel } from "./models.js";

const root = temporaryFolder();
const target = fileURLToPath(new URL("kill-target.mjs", import.meta.url));

/** Many tensors and a method of several passes, so that there is something to interrupt everywhere. */
const SHAPES = Array.from({ length: 60 }, (_, k) => ({
  name: `layers.${k}.weight`,
  shape: [3 + (k % 5), 50_000],
}));
const RECIPE = `merge_method: ties
base_model: ./base
models:
  - { model: ./a, parameters: { weight: 1, density: 0.3 } }
  - { model: ./b, parameters: { weight: 0.5, density: 0.7 } }
`;

let whole: Record<string, string> = {};
let milliseconds = 0;

beforeAll(async () => {
  const base = randomWeights(SHAPES, "F32", 1);
  writeModel(join(root, "base"), { weights: base, config: { dtype: "float32" } });
  writeModel(join(root, "a"), { weights: randomWeights(SHAPES, "F32", 2, base) });
  writeModel(join(root, "b"), { weights: randomWeights(SHAPES, "F32", 3, base) });
  writeFileSync(join(root, "recipe.yaml"), RECIPE);
  const started = performance.now();
  const outcome = await gradmerge(["merge", "recipe.yaml", "whole"], { cwd: root });
  milliseconds = performance.now() - started;
  expectSuccess(outcome);
  whole = hashes(join(root, "whole"));
  expect(Object.keys(whole).length).toBe(4);
});

/** Either there is no output yet, or all of it. */
function expectAllOrNothing(out: string): void {
  if (existsSync(out)) expect(hashes(out)).toEqual(whole);
}

/** One run that keeps its journal all the time. */
function attempt(out: string, kill?: number): ReturnType<typeof run> {
  const module = pathToFileURL(built("run/merge.js")).href;
  return run([target, join(root, "recipe.yaml"), out, "5", module], {
    cwd: root,
    ...(kill === undefined ? {} : { kill: { after: kill, signal: "SIGKILL" } }),
  });
}

describe("a merge that is killed", () => {
  test("six times at random moments, and then continued: the bytes of an undisturbed merge, and never a part of them", async () => {
    const numbers = random(7);
    const out = join(root, "killed");
    const resumed: number[] = [];
    for (let round = 0; round < 6; round++) {
      const { stdout } = await attempt(out, numbers.between(0.3, 1.1) * milliseconds);
      resumed.push(Number(/resumed (\d+)/.exec(stdout)?.[1] ?? NaN));
      expectAllOrNothing(out);
    }
    const last = await attempt(out);
    expectSuccess(last);
    expect(hashes(out)).toEqual(whole);
    expect(existsSync(`${out}.partial`)).toBe(false);
    // Some attempt found work done by the one before.
    resumed.push(Number(/resumed (\d+)/.exec(last.stdout)?.[1] ?? NaN));
    expect(resumed.some((tensors) => tensors > 0) || existsSync(out)).toBe(true);
  });

  test("is not continued unless asked, and says how", async () => {
    const out = join(root, "asked");
    await interrupted(out);
    const refused = await gradmerge(["merge", "recipe.yaml", "asked"], { cwd: root });
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/^error: /);
    expect(refused.stderr).toContain("--resume");
    expect(existsSync(`${out}.partial`)).toBe(true);
    const resumed = await gradmerge(["merge", "recipe.yaml", "asked", "--resume"], { cwd: root });
    expectSuccess(resumed);
    expect(hashes(out)).toEqual(whole);
  });

  test("is not continued by another recipe", async () => {
    const out = join(root, "other");
    await interrupted(out);
    writeFileSync(join(root, "other.yaml"), RECIPE.replace("0.3", "0.4"));
    const refused = await gradmerge(["merge", "other.yaml", "other", "--resume"], { cwd: root });
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/^error: /);
    expect(refused.stderr).toMatch(/another|changed/);
    const resumed = await gradmerge(["merge", "recipe.yaml", "other", "--resume"], { cwd: root });
    expectSuccess(resumed);
    expect(hashes(out)).toEqual(whole);
  });

  test("a journal whose last line was cut off, or whose data is damaged beyond what it says, does no harm", async () => {
    const out = join(root, "cut");
    await interrupted(out);
    const copy = join(root, "cut-again");
    cpSync(`${out}.partial`, `${copy}.partial`, { recursive: true });
    writeFileSync(join(`${copy}.partial`, "journal.jsonl"), '{"complete": 59, "val', { flag: "a" });
    const resumed = await gradmerge(["merge", "recipe.yaml", "cut-again", "--resume"], {
      cwd: root,
    });
    expectSuccess(resumed);
    expect(hashes(copy)).toEqual(whole);
    rmSync(`${out}.partial`, { recursive: true });
  });

  test("what is finished is left as it is by --resume", async () => {
    const before = hashes(join(root, "whole"));
    const again = await gradmerge(["merge", "recipe.yaml", "whole", "--resume"], { cwd: root });
    expectSuccess(again);
    expect(hashes(join(root, "whole"))).toEqual(before);
    expect(readdirSync(root)).not.toContain("whole.partial");
  });

  test("what another recipe has finished is not touched by --resume", async () => {
    writeFileSync(join(root, "third.yaml"), RECIPE.replace("0.3", "0.45"));
    const refused = await gradmerge(["merge", "third.yaml", "whole", "--resume"], { cwd: root });
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/^error: .*already there/);
    expect(hashes(join(root, "whole"))).toEqual(whole);
  });
});

describe("a merge that is interrupted", () => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    test(`by ${signal}: says how to continue, keeps what is done, and continues`, async () => {
      const out = join(root, signal);
      let outcome = await gradmerge(["merge", "recipe.yaml", out], {
        cwd: root,
        kill: { after: 0.6 * milliseconds, signal },
      });
      // Where the signal came before or after the work, again a little earlier or later.
      for (let share = 0.4; !existsSync(`${out}.partial`) && share < 1; share += 0.1) {
        rmSync(out, { recursive: true, force: true });
        outcome = await gradmerge(["merge", "recipe.yaml", out], {
          cwd: root,
          kill: { after: share * milliseconds, signal },
        });
      }
      expect(outcome.stderr).toMatch(/^error: .*interrupted/m);
      expect(outcome.stderr).toContain("--resume");
      expect(outcome.status).not.toBe(0);
      expect(existsSync(out)).toBe(false);
      const resumed = await gradmerge(["merge", "recipe.yaml", out, "--resume", "--json"], {
        cwd: root,
      });
      expectSuccess(resumed);
      expect(hashes(out)).toEqual(whole);
    });
  }
});

describe("two merges into one output", () => {
  test("one of them ends with an error, the other is not disturbed", async () => {
    const out = join(root, "both");
    const outcomes = await Promise.all(
      [0, 1].map(() => gradmerge(["merge", "recipe.yaml", "both"], { cwd: root })),
    );
    expect(outcomes.map((outcome) => outcome.status).toSorted()).toEqual([0, 1]);
    const loser = outcomes.find((outcome) => outcome.status === 1);
    expect(loser?.stderr).toMatch(/^error: /);
    expect(loser?.stderr).not.toMatch(/^\s+at /m);
    expect(hashes(out)).toEqual(whole);
    expect(existsSync(`${out}.partial`)).toBe(false);
  });
});

/** Leaves the partial folder of a killed merge. */
async function interrupted(out: string): Promise<void> {
  mkdirSync(root, { recursive: true });
  for (let share = 0.7; share > 0.1; share -= 0.1) {
    await attempt(out, share * milliseconds);
    if (existsSync(join(`${out}.partial`, "journal.jsonl"))) return;
    rmSync(out, { recursive: true, force: true });
  }
  throw new Error("no attempt could be killed at work");
}
