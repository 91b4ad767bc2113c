import { describe, expect, it } from "vitest";
import { findings } from "../../src/study/findings.js";
import {
  atLeastAsGood,
  best,
  correlation,
  curves,
  mismatchPoints,
  references,
  removals,
  robustness,
  standardError,
} from "../../src/study/statistics.js";
import { taskTable } from "../../src/study/tables.js";
import { sampleResults } from "./sample.js";

const study = sampleResults();

describe("statistics of a study", () => {
  it("takes means over the tasks, without the base's own test set", () => {
    const [first] = curves(study);
    expect(first?.method).toBe("gradient_matching");
    // Amazon 0.84 and yelp 0.94.
    expect(first?.points[0]).toMatchObject({ alpha: 0.25 });
    expect(first?.points[0]?.mean).toBeCloseTo(0.89, 12);
    expect(curves(study, "accuracy", "imdb")[0]?.points[0]?.mean).toBeCloseTo(0.84, 12);
  });

  it("counts an expert on its own task", () => {
    const expert = references(study).find(({ method }) => method === "expert");
    // Amazon by its expert 0.85, yelp by its own 0.87 + 0.1.
    expect(expert?.mean).toBeCloseTo((0.85 + 0.97) / 2, 12);
    const names = references(study).map(({ name }) => name);
    expect(names).toEqual([
      "joint training",
      "each task's own expert",
      "mean of experts",
      "Fisher average",
      "base",
    ]);
  });

  it("spreads over seeds", () => {
    const two = curves(sampleResults({ seeds: [1, 2] }))[0]?.points[0];
    expect(two?.mean).toBeCloseTo(0.895, 12);
    expect(two?.low).toBeCloseTo(0.89, 12);
    expect(two?.high).toBeCloseTo(0.9, 12);
    // s of two values that are 0.01 apart.
    expect(two?.deviation).toBeCloseTo(0.01 / Math.SQRT2, 12);
  });

  it("finds the best α and how many are within a point of it", () => {
    const found = robustness(study);
    expect(found.map(({ method, best: top, within }) => [method, top.alpha, within])).toEqual([
      // 0.86; 0.855 and 0.85 are within a point, 0.84 is not.
      ["gradient_matching", 0.5, 3],
      ["task_arithmetic", 0.5, 1],
      ["fisher", 2, 2],
    ]);
    expect(found[1]?.range).toBeCloseTo(0.362, 12);
    expect(best({ method: "none", points: [] })).toBeUndefined();
  });

  it("compares methods at the α that both have", () => {
    // 0.84 > 0.83, 0.86 < 0.862, 0.855 > 0.7, 0.85 > 0.5
    expect(atLeastAsGood(study, "gradient_matching", "task_arithmetic")).toEqual({
      count: 3,
      of: 4,
    });
    expect(atLeastAsGood(study, "gradient_matching", "ties")).toBeUndefined();
  });

  it("correlates", () => {
    expect(
      correlation([
        [1, 2],
        [2, 4],
        [3, 6],
      ]),
    ).toBeCloseTo(1, 12);
    // Deviations (−1, 0, 1) and (1, −2, 1): no correlation at all.
    expect(
      correlation([
        [1, 3],
        [2, 0],
        [3, 3],
      ]),
    ).toBeCloseTo(0, 12);
    // Deviations (−1, 0, 1) and (−1, 1, 0): 1 / √(2·2).
    expect(
      correlation([
        [1, 1],
        [2, 3],
        [3, 2],
      ]),
    ).toBeCloseTo(0.5, 12);
    expect(
      correlation([
        [1, 1],
        [2, 2],
      ]),
    ).toBeUndefined();
    expect(
      correlation([
        [1, 1],
        [1, 2],
        [1, 3],
      ]),
    ).toBeUndefined();
    const pairs = mismatchPoints(study).map(
      ({ mismatch, error }) => [Math.log10(mismatch), error] as const,
    );
    expect(pairs).toHaveLength(14);
    expect(correlation(pairs)).toBeCloseTo(1, 12);
  });

  it("sets what is left of a removed task against the mean of the rest", () => {
    const [removal] = removals(study);
    expect(removal?.base.removed).toBeCloseTo(0.85, 12);
    expect(removal?.base.kept).toBeCloseTo(0.75, 12);
    const [matching] = removal?.curves ?? [];
    expect(matching?.points.map(({ alpha }) => alpha)).toEqual([-0.1, -0.2, -0.3]);
    // Each step takes 0.1 from yelp and 0.01 from the rest.
    expect(matching?.points[1]?.removed).toBeCloseTo(0.65, 12);
    expect(matching?.points[1]?.kept).toBeCloseTo(0.73, 12);
  });

  it("knows what chance does to a mean accuracy", () => {
    // p = 0.75 and 0.85 of 400 examples each: √(0.1875/400 + 0.1275/400) / 2
    expect(standardError(study)).toBeCloseTo(Math.sqrt(0.315 / 400) / 2, 12);
  });
});

describe("findings", () => {
  it("are in words what the figures say", () => {
    const said = findings(study).join("\n").replaceAll("\u00a0", " ");
    expect(said).toContain("gradient matching 91.0% at α = 0.5; task arithmetic 91.2% at α = 0.5");
    expect(said).toContain("at least as good as task arithmetic at 3 of 4 α");
    expect(said).toContain("gradient matching at 3 of 4; task arithmetic at 1 of 4");
    expect(said).toContain(
      "Joint training reaches 93.0%: 1.8 points above the best merge, task arithmetic",
    );
    expect(said).toContain("have a correlation of 1.00");
    expect(said).toMatch(
      /Removal of yelp[^]*85.0%[^]*gradient matching 65.0% at α = −0.2; task arithmetic loses more/,
    );
    expect(said).toContain("standard error of about 1.4 points");
  });
});

describe("taskTable", () => {
  it("has the distance of every model to joint training", () => {
    const { columns, rows } = taskTable(study);
    expect(columns).toEqual(["model", "imdb", "amazon", "yelp", "mean", "to joint"]);
    expect(rows).toContainEqual(["joint training", "88.0", "88.0", "98.0", "93.0", "+0.0"]);
    expect(rows).toContainEqual([
      "gradient matching, α = 1",
      "85.5",
      "85.5",
      "95.5",
      "90.5",
      "−2.5",
    ]);
    expect(rows.find(([name]) => name === "each task's own expert")?.[1]).toBe("–");
  });
});
