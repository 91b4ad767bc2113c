import { closeSync, openSync, renameSync, writeSync } from "node:fs";
import { readExamples } from "../data/read.js";
import type { Example } from "../data/example.js";
import { DataError } from "../errors.js";
import type { DataSource } from "./resolve.js";

/** The training data of one task, of which the first `limit` examples are taken. */
export type JointSource = DataSource & { readonly limit: number | undefined };

/**
 * Writes the training data of all tasks into one file of JSON Lines, one task after the other: training shuffles it.
 * @throws DataError for images, which JSON Lines do not hold
 */
export async function writeJointData(out: string, sources: readonly JointSource[]): Promise<void> {
  const partial = `${out}.partial`;
  const fd = openSync(partial, "w");
  try {
    for (const { path, columns, limit } of sources) {
      for await (const example of readExamples(path, { ...columns, examples: limit })) {
        writeSync(fd, `${JSON.stringify(lineOf(example))}\n`);
      }
    }
  } finally {
    closeSync(fd);
  }
  renameSync(partial, out);
}

function lineOf(example: Example): Record<string, unknown> {
  const { where, text, pair, label, inputIds, tokenTypeIds, attentionMask, labels, image } =
    example;
  if (image !== undefined) {
    throw new DataError({
      what: "the joint target cannot be trained on images of several files yet",
      where,
      hint: "train it apart and name it with joint: { model: … }, or write joint: false",
    });
  }
  return {
    // The names by which a pair is recognised when the file is read.
    ...(pair === undefined ? { text } : { sentence1: text, sentence2: pair }),
    label,
    input_ids: inputIds,
    token_type_ids: tokenTypeIds,
    attention_mask: attentionMask,
    labels,
  };
}
