import { Network } from "./network.js";
import { Random } from "./random.js";
import { fisher, minimise, probabilities, type Examples, type Objective } from "./softmax.js";

/** A model of the demo: weights, and the Fisher at them. */
export interface DemoModel {
  readonly name: string;
  readonly theta: Float64Array;
  readonly fisher: Float64Array;
  /** N in H = N·F. */
  readonly trainSize: number;
}

export interface Task extends DemoModel {
  readonly train: Examples;
  readonly test: Examples;
}

/**
 * A small world in which everything is known: texts, models, and the models that merging is to come close to.
 * All optima are exact, so that what separates a merge from its target is the method alone.
 */
export interface World {
  readonly network: Network;
  /** Fitted to general texts and to some that should not have been among them. */
  readonly base: DemoModel;
  /** Fine-tuned from the base, each on texts of its own domain. */
  readonly tasks: readonly Task[];
  /** Fine-tuned from the base on the texts to be removed. */
  readonly unwanted: Task;
  readonly general: { readonly train: Examples; readonly test: Examples };
}

/** δ: the weight decay that the base was trained with, and thereby part of its curvature. */
export const WEIGHT_DECAY = 1;

const CLASSES = 3;
const DOMAINS = [
  { name: "books", texts: 150 },
  { name: "films", texts: 300 },
  { name: "food", texts: 600 },
  { name: "travel", texts: 1200 },
];

/** The world of a seed; `quick` has a smaller vocabulary and fewer tests. */
export function createWorld(seed: number, quick: boolean): World {
  const network = new Network({
    classes: CLASSES,
    words: quick ? 40 : 80,
    pairs: quick ? 16 : 32,
  });
  const random = new Random(seed);
  const tests = quick ? 400 : 2000;
  const meaning = random.normals(network.weights);
  const draw = (domain: Domain, train: number) => ({
    train: sample(random, network, domain, train),
    test: sample(random, network, domain, tests),
  });

  const general = draw(createDomain(random, network, meaning, 0.5), 400);
  const mistaken = draw(
    createDomain(
      random,
      network,
      meaning.map((x) => -x),
      0.5,
    ),
    100,
  );
  const baseTheta = fit(network, [general.train, mistaken.train]);
  const baseTexts = [...general.train.features, ...mistaken.train.features];
  const base: DemoModel = {
    name: "base",
    theta: baseTheta,
    fisher: fisher(baseTheta, baseTexts, CLASSES),
    trainSize: baseTexts.length,
  };

  const fineTune = (name: string, data: { train: Examples; test: Examples }): Task => {
    const theta = minimise(anchored(network, base, [data.train]));
    const { features } = data.train;
    return {
      name,
      theta,
      fisher: fisher(theta, features, CLASSES),
      trainSize: features.length,
      ...data,
    };
  };
  return {
    network,
    base,
    tasks: DOMAINS.map(({ name, texts }) =>
      fineTune(name, draw(createDomain(random, network, meaning, 0.5), texts)),
    ),
    unwanted: fineTune("unwanted", mistaken),
    general,
  };
}

/**
 * Fine-tuning from the base on some sets of texts together, the objective (9) of the paper: Σₜ ℓₜ(θ) + ½‖θ − θ₀‖²_{H₀}, H₀ = N₀F₀ + δ.
 * With one set it is (8), by which an expert is made.
 */
export function anchored(network: Network, base: DemoModel, sets: readonly Examples[]): Objective {
  return {
    classes: network.classes,
    terms: sets.map((examples) => ({ examples, weight: 1 })),
    centre: base.theta,
    precision: base.fisher.map((f) => f * base.trainSize + WEIGHT_DECAY),
  };
}

/** What training from the base on all of the tasks at once gives: the target of merging. */
export function trainJointly(world: World, tasks: readonly Task[]): Float64Array {
  return minimise(
    anchored(
      world.network,
      world.base,
      tasks.map(({ train }) => train),
    ),
  );
}

/** The base trained again without the unwanted texts: the target of removal. */
export function retrain(world: World): Float64Array {
  return fit(world.network, [world.general.train]);
}

/** Training from nothing, the objective (7): Σ ℓ(θ) + ½δ‖θ‖². */
function fit(network: Network, sets: readonly Examples[]): Float64Array {
  const centre = new Float64Array(network.weights);
  return minimise({
    classes: network.classes,
    terms: sets.map((examples) => ({ examples, weight: 1 })),
    centre,
    precision: centre.map(() => WEIGHT_DECAY),
  });
}

interface Domain {
  /** How often each word occurs. */
  readonly frequencies: Float64Array;
  /** What words and pairs say about the class of a text: the weights of the network that labels come from. */
  readonly meaning: Float64Array;
}

/** A domain uses words in an order of frequency of its own (Zipf's law), and some of them in a sense of its own. */
function createDomain(
  random: Random,
  network: Network,
  meaning: Float64Array,
  shift: number,
): Domain {
  const ranks = Array.from({ length: network.words }, (_, word) => ({
    word,
    key: random.uniform(),
  })).sort((a, b) => a.key - b.key);
  const frequencies = new Float64Array(network.words);
  ranks.forEach(({ word }, rank) => (frequencies[word] = 1 / (rank + 2)));
  const sum = frequencies.reduce((x, y) => x + y);
  return {
    frequencies: frequencies.map((x) => x / sum),
    meaning: meaning.map((x) => x + shift * random.normal()),
  };
}

function sample(random: Random, network: Network, domain: Domain, count: number): Examples {
  const features = Array.from({ length: count }, () => {
    const length = 4 + Math.floor(5 * random.uniform());
    return network.features(Array.from({ length }, () => random.choose(domain.frequencies)));
  });
  const labels = features.map((text) =>
    random.choose(probabilities(domain.meaning, text, network.classes)),
  );
  return { features, labels };
}
