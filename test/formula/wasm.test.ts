import { describe, expect, it } from "vitest";
import { input, parameter, sum, largest, count } from "../../src/formula/nodes.js";
import { runFormula, testInput } from "./run-kernel.js";

describe("smoke", () => {
  it.each(["F32", "F64"] as const)("adds %s", (precision) => {
    const a = input("a");
    const b = input("b");
    for (const dtype of ["F32", "F64", "BF16", "F16"] as const)
      for (const out of ["F32", "F64", "BF16", "F16"] as const)
        for (let n = 0; n < 20; n++) {
          const x = Array.from({ length: n }, (_, i) => i - 5);
          const r = runFormula(
            {
              output: { node: a.times(parameter("w")).plus(b).node, dtype: out },
              report: new Map([
                ["s", sum(a).node],
                ["top", count(largest(a, 4)).node],
              ]),
              refuse: [{ when: a.greaterThan(12).node, what: "large", slot: "a" }],
              limits: [],
            },
            {
              inputs: new Map([
                ["a", testInput(dtype, x)],
                [
                  "b",
                  testInput(
                    "F32",
                    x.map(() => 2),
                  ),
                ],
              ]),
              parameters: new Map([["w", 0.5]]),
              elements: n,
            },
            { precision, tile: 11, misalign: 1 },
          );
          expect([...(r.output ?? [])]).toEqual(x.map((v) => v * 0.5 + 2));
          expect(r.report.get("s")).toBe(x.reduce((p, q) => p + q, 0));
          expect(r.report.get("top")).toBe(Math.min(n, 4));
          expect(r.refusal?.index).toBe(n > 18 ? 18 : undefined);
          if (n > 18) expect(r.refusal?.got).toBe("13");
        }
  });
});
