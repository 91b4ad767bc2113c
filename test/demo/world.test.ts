import { describe, expect, it } from "vitest";
import { solvePositiveDefinite } from "../../src/demo/cholesky.js";
import { Network } from "../../src/demo/network.js";
import { Random } from "../../src/demo/random.js";
import { fisher, gradient, hessian, loss, probabilities } from "../../src/demo/softmax.js";
import {
  WEIGHT_DECAY,
  anchored,
  createWorld,
  retrain,
  trainJointly,
  type World,
} from "../../src/demo/world.js";

const norm = (v: ArrayLike<number>) => Math.sqrt(Array.from(v).reduce((s, x) => s + x * x, 0));
const gap = (a: Float64Array, b: Float64Array) => norm(a.map((x, i) => x - (b[i] ?? NaN)));

describe("Random", () => {
  it("gives the same numbers for the same seed, and others for another seed or stream", () => {
    const first = (seed: number, stream?: number) => new Random(seed, stream).normals(3);
    expect(first(1)).toEqual(first(1));
    expect(first(1)).not.toEqual(first(2));
    expect(first(1)).not.toEqual(first(1, 1));
    expect(first(2 ** 40 + 1)).not.toEqual(first(1));
  });

  it("has the moments of the normal distribution within five standard errors of 100,000 draws", () => {
    const draws = new Random(3).normals(100_000);
    const mean = (power: number) => draws.reduce((sum, x) => sum + x ** power, 0) / draws.length;
    expect(Math.abs(mean(1))).toBeLessThan(5 * Math.sqrt(1 / draws.length));
    expect(Math.abs(mean(2) - 1)).toBeLessThan(5 * Math.sqrt(2 / draws.length));
    expect(Math.abs(mean(4) - 3)).toBeLessThan(5 * Math.sqrt(96 / draws.length));
  });

  it("chooses by the probabilities", () => {
    const random = new Random(4);
    const counts = [0, 0, 0];
    for (let i = 0; i < 30_000; i++) {
      const index = random.choose([0.5, 0, 0.5]);
      counts[index] = (counts[index] ?? 0) + 1;
    }
    expect(counts[1]).toBe(0);
    expect(Math.abs((counts[0] ?? 0) - 15_000)).toBeLessThan(5 * Math.sqrt(30_000 / 4));
  });
});

describe("solvePositiveDefinite", () => {
  it("solves an example by hand: [[4, 2], [2, 5]] x = [8, 12] gives [1, 2]", () => {
    const x = solvePositiveDefinite(Float64Array.of(4, NaN, 2, 5), Float64Array.of(8, 12));
    expect(Array.from(x)).toEqual([1, 2]);
  });

  it("refuses a matrix that is not positive definite", () => {
    expect(() => solvePositiveDefinite(Float64Array.of(1, 0, 2, 1), Float64Array.of(1, 1))).toThrow(
      /not positive definite/,
    );
  });
});

describe("Network", () => {
  const network = new Network({ classes: 2, words: 3, pairs: 2 });

  it("counts words, pairs and the constant: the text 1 1 2", () => {
    const { indices, counts } = network.features([1, 1, 2]);
    const pair = (word: number, next: number) => 3 + ((31 * word + 17 * next) % 2);
    const expected = new Map([[5, 1]]);
    for (const feature of [1, 1, 2, pair(1, 1), pair(1, 2)]) {
      expected.set(feature, (expected.get(feature) ?? 0) + 1);
    }
    expect(new Map(Array.from(indices, (f, i) => [f, counts[i]]))).toEqual(expected);
  });

  it("cuts a vector into tensors and puts it together again", () => {
    const vector = Float64Array.from({ length: network.weights }, (_, i) => i);
    const tensors = network.tensors(vector);
    expect(tensors.map(({ shape }) => shape)).toEqual([[3, 2], [2, 2], [2]]);
    const back = network.vector(
      (name) => tensors.find((tensor) => tensor.name === name)?.values ?? new Float64Array(0),
    );
    expect(back).toEqual(vector);
  });
});

describe("softmax regression", () => {
  const network = new Network({ classes: 3, words: 4, pairs: 2 });
  const random = new Random(5);
  const theta = random.normals(network.weights);
  const features = Array.from({ length: 20 }, () =>
    network.features(Array.from({ length: 5 }, () => Math.floor(4 * random.uniform()))),
  );
  const examples = { features, labels: features.map((_, i) => i % 3) };

  it("has probabilities in the ratio of exp(logit): logits log 1, log 2, log 5", () => {
    const text = { indices: Int32Array.of(0), counts: Float64Array.of(1) };
    const p = probabilities(Float64Array.of(0, Math.log(2), Math.log(5)), text, 3);
    [1 / 8, 2 / 8, 5 / 8].forEach((x, c) => expect(p[c]).toBeCloseTo(x, 14));
  });

  it("has the gradient of its loss by central differences, within 1e-7", () => {
    const g = gradient(theta, examples, 3);
    for (let i = 0; i < theta.length; i++) {
      const at = (step: number) =>
        loss(
          theta.map((x, k) => (k === i ? x + step : x)),
          examples,
          3,
        );
      expect(Math.abs((at(1e-5) - at(-1e-5)) / 2e-5 - (g[i] ?? NaN))).toBeLessThan(1e-7);
    }
  });

  it("has the Hessian of its loss by central differences of the gradient, within 1e-7", () => {
    const h = hessian(theta, features, 3);
    const n = theta.length;
    for (let i = 0; i < n; i++) {
      const at = (step: number) =>
        gradient(
          theta.map((x, k) => (k === i ? x + step : x)),
          examples,
          3,
        );
      const [above, below] = [at(1e-5), at(-1e-5)];
      for (let j = 0; j <= i; j++) {
        const slope = ((above[j] ?? NaN) - (below[j] ?? NaN)) / 2e-5;
        expect(Math.abs(slope - (h[i * n + j] ?? NaN))).toBeLessThan(1e-7);
      }
    }
  });

  it("has a Fisher that is the mean of the Hessian's diagonal", () => {
    const f = fisher(theta, features, 3);
    const h = hessian(theta, features, 3);
    f.forEach((x, i) =>
      expect(x).toBeCloseTo((h[i * (theta.length + 1)] ?? NaN) / features.length, 13),
    );
  });

  it("has a Fisher that is the expected squared gradient over the model's own labels", () => {
    const f = fisher(theta, features, 3);
    const expected = new Float64Array(theta.length);
    for (const text of features) {
      probabilities(theta, text, 3).forEach((p, c) => {
        gradient(theta, { features: [text], labels: [c] }, 3).forEach((g, i) => {
          expected[i] = (expected[i] ?? 0) + (p * g * g) / features.length;
        });
      });
    }
    f.forEach((x, i) => expect(x).toBeCloseTo(expected[i] ?? NaN, 13));
  });
});

describe("the world of the demo", () => {
  const world = createWorld(1, true);
  const { network, base, tasks, unwanted, general } = world;
  const joint = trainJointly(world, tasks);

  it("has experts at which the gradient of (8) vanishes: ∇ℓₜ(θₜ) + H₀(θₜ − θ₀) = 0 within 1e-10", () => {
    for (const { theta, train } of [...tasks, unwanted]) {
      const g = gradient(theta, train, network.classes);
      const residual = g.map((x, i) => {
        const precision = (base.fisher[i] ?? NaN) * base.trainSize + WEIGHT_DECAY;
        return x + precision * ((theta[i] ?? NaN) - (base.theta[i] ?? NaN));
      });
      expect(norm(residual) / norm(g)).toBeLessThan(1e-10);
    }
  });

  it("has a joint target at which the gradient of (9) vanishes within 1e-10", () => {
    const sum = joint.map((x, i) => {
      const precision = (base.fisher[i] ?? NaN) * base.trainSize + WEIGHT_DECAY;
      return precision * (x - (base.theta[i] ?? NaN));
    });
    for (const { train } of tasks) {
      gradient(joint, train, network.classes).forEach((x, i) => (sum[i] = (sum[i] ?? NaN) + x));
    }
    expect(norm(sum)).toBeLessThan(1e-10 * norm(joint) * base.trainSize);
  });

  it("has a base, and a base trained again, at which the gradient of (7) vanishes within 1e-10", () => {
    const cases: [Float64Array, (typeof general.train)[]][] = [
      [base.theta, [general.train, unwanted.train]],
      [retrain(world), [general.train]],
    ];
    for (const [theta, sets] of cases) {
      const sum = theta.map((x) => WEIGHT_DECAY * x);
      for (const set of sets) {
        gradient(theta, set, network.classes).forEach((x, i) => (sum[i] = (sum[i] ?? NaN) + x));
      }
      expect(norm(sum) / norm(theta)).toBeLessThan(1e-10);
    }
  });

  it("gives for one task alone the expert itself", () => {
    const [first] = tasks;
    if (first === undefined) throw new Error("no task");
    expect(gap(trainJointly(world, [first]), first.theta)).toBeLessThan(1e-12);
    expect(anchored(network, base, [first.train]).centre).toBe(base.theta);
  });

  it("is the same for the same seed and another for another", () => {
    expect(createWorld(1, true).base.theta).toEqual(base.theta);
    expect(createWorld(2, true).base.theta).not.toEqual(base.theta);
  });
});

describe("what the demo shows, over six seeds", () => {
  const worlds = Array.from({ length: 6 }, (_, seed) => createWorld(seed + 100, true));
  const distances = worlds.map((world) => {
    const joint = trainJointly(world, world.tasks);
    const apart = (theta: Float64Array) => gap(theta, joint) / gap(world.base.theta, joint);
    return {
      gradientMatching: (alpha: number) => apart(gradientMatching(world, alpha)),
      taskArithmetic: (alpha: number) => apart(taskArithmetic(world, alpha)),
    };
  });

  it.each([0.5, 1, 1.5, 2])(
    "gradient matching is closer to joint training than task arithmetic at α = %s",
    (alpha) => {
      for (const { gradientMatching: ours, taskArithmetic: theirs } of distances) {
        expect(ours(alpha)).toBeLessThan(theirs(alpha));
      }
    },
  );
});

function taskArithmetic({ base, tasks }: World, alpha: number): Float64Array {
  return base.theta.map(
    (x, i) => x + alpha * tasks.reduce((sum, { theta }) => sum + (theta[i] ?? NaN) - x, 0),
  );
}

/** Equation 12, written out once more. */
function gradientMatching({ base, tasks }: World, alpha: number): Float64Array {
  return base.theta.map((x, i) => {
    const prior = (base.fisher[i] ?? NaN) * base.trainSize + WEIGHT_DECAY;
    let pull = 0;
    let precision = prior;
    for (const { theta, fisher: f, trainSize } of tasks) {
      const h = (f[i] ?? NaN) * trainSize;
      pull += alpha * (prior + h) * ((theta[i] ?? NaN) - x);
      precision += alpha * h;
    }
    return x + pull / precision;
  });
}
