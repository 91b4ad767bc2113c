import type { ConfigReader } from "../config.js";

/** The classes of a classifier: how many, and their names in order where the configuration has them. */
export interface Labels {
  readonly classes: number;
  readonly classNames?: readonly string[];
}

/**
 * The classes by `id2label`, else by `num_labels`, else the two that transformers takes for granted.
 * @throws ModelError where the two keys disagree, the numbers of `id2label` are not 0, 1, 2, …, or the problem is no choice of
 * one class.
 */
export function labelsOf(config: ConfigReader): Labels {
  // Regression and several labels at once have the same logits but another loss.
  config.neutral("problem_type", "single_label_classification");
  const names = config.nested("id2label");
  if (names === undefined) return { classes: config.count("num_labels", 2) };
  const classes = Object.keys(config.value("id2label") ?? {}).length;
  const numbers = Array.from({ length: classes }, (_, i) => `${i}`);
  const missing = numbers.find((number) => !names.has(number));
  if (classes === 0 || missing !== undefined) {
    throw config.refuse("id2label", "a name for each of the classes 0, 1, 2, …");
  }
  if (config.count("num_labels", classes) !== classes) {
    throw config.refuse("num_labels", `${classes}, as many as id2label has names`);
  }
  return { classes, classNames: numbers.map((number) => names.text(number)) };
}
