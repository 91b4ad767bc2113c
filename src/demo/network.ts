/** One text as the network sees it: how often each of its features occurs, the constant feature of the bias included. */
export interface Features {
  readonly indices: Int32Array;
  readonly counts: Float64Array;
}

/** The parts of a vector that becomes one tensor: rows are features, columns classes. */
interface Part {
  readonly name: string;
  readonly rows: number;
}

/**
 * A small text classifier of the kind that fastText made popular: the vectors of a text's words and word pairs are summed, and the sum is the logits.
 *
 *     logits = bias + Σ words[w] + Σ pairs[bucket(w, next w)]
 *
 * In such weights the loss is convex, so that every optimum that the demo speaks of is *the* optimum, found to the last digits. Weights and
 * Fishers are vectors, feature by feature: element f·classes + c.
 */
export class Network {
  readonly classes: number;
  readonly words: number;
  readonly pairs: number;
  readonly #parts: readonly Part[];

  constructor(size: { classes: number; words: number; pairs: number }) {
    this.classes = size.classes;
    this.words = size.words;
    this.pairs = size.pairs;
    this.#parts = [
      { name: "embeddings.words.weight", rows: size.words },
      { name: "embeddings.pairs.weight", rows: size.pairs },
      { name: "classifier.bias", rows: 1 },
    ];
  }

  get weights(): number {
    return (this.words + this.pairs + 1) * this.classes;
  }

  /** What describes the network beside its weights, for config.json. */
  get config(): object {
    return {
      model_type: "gradmerge-demo",
      architectures: ["BagOfWordsClassifier"],
      vocab_size: this.words,
      pair_buckets: this.pairs,
      num_labels: this.classes,
    };
  }

  /** The features of a text, given as numbers of words. */
  features(text: readonly number[]): Features {
    const counts = new Map<number, number>([[this.words + this.pairs, 1]]);
    const add = (feature: number) => counts.set(feature, (counts.get(feature) ?? 0) + 1);
    text.forEach((word, i) => {
      add(word);
      const next = text[i + 1];
      if (next !== undefined) add(this.words + ((31 * word + 17 * next) % this.pairs));
    });
    return {
      indices: Int32Array.from(counts.keys()),
      counts: Float64Array.from(counts.values()),
    };
  }

  /** Cuts a vector into the tensors of a checkpoint. */
  tensors(vector: Float64Array): { name: string; shape: number[]; values: Float64Array }[] {
    let begin = 0;
    return this.#parts.map(({ name, rows }) => {
      const values = vector.subarray(begin, (begin += rows * this.classes));
      return { name, shape: rows === 1 ? [this.classes] : [rows, this.classes], values };
    });
  }

  /** The inverse of `tensors`. */
  vector(tensor: (name: string) => Float64Array): Float64Array {
    const vector = new Float64Array(this.weights);
    for (const { name, values } of this.tensors(vector)) values.set(tensor(name));
    return vector;
  }
}
