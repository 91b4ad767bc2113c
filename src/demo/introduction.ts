import { DOMAINS, exampleOf, GENERAL } from "./lexicon.js";
import type { Scale } from "./study-file.js";
import { NOISE } from "./texts.js";

/** What the tasks of the demo are, in paragraphs. */
export function introduction(scale: Scale): readonly string[] {
  const [first = "", ...others] = DOMAINS.filter((domain) => domain !== GENERAL).map(
    (domain) => `${exampleOf(domain)} in ${domain}`,
  );
  return [
    `The demo makes its own tasks: short texts, positive or negative, in a ${GENERAL} domain and in four others. Words such as “good” mean the same everywhere; but each of the four domains turns some round (${[first, ...others].join(", ")}) and has words of its own. The nouns of a text give its domain away, so one model can learn them all.`,
    `A small transformer is trained on ${scale.baseTexts} ${GENERAL} texts: the base. From it an expert for each domain is fine-tuned on ${scale.expertTexts} texts, and one model, the joint target, on all of them together. ${Math.round(100 * NOISE)}% of the training labels are wrong, none of the test labels. What such small models show is how the methods behave; it says little about how much they differ on large ones.`,
  ];
}
