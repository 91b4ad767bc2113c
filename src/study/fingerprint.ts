import { createHash } from "node:crypto";
import { createReadStream, existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { openCheckpoint } from "../checkpoint/open.js";
import { weightsFingerprint } from "../fisher/format.js";

/** Files beside the weights that say how an input becomes numbers. */
const TOKENIZER_FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.txt",
  "vocab.json",
  "merges.txt",
  "preprocessor_config.json",
];

/** Of the weights of a model (sampled, see `weightsFingerprint`), its configuration and its tokenizer; and how many weights it has. */
export async function fingerprintModel(
  folder: string,
): Promise<{ readonly key: string; readonly elements: number }> {
  const checkpoint = await openCheckpoint(folder);
  try {
    const parts = [weightsFingerprint(checkpoint), fileDigests(folder, ["config.json"])];
    const key = createHash("sha256")
      .update(JSON.stringify([...parts, fingerprintTokenizer(folder)]))
      .digest("hex");
    let elements = 0;
    for (const tensor of checkpoint.tensors.values()) elements += tensor.elements;
    return { key, elements };
  } finally {
    checkpoint.close();
  }
}

/** Of the tokenizer, or the preparation of images, of a model. */
export function fingerprintTokenizer(folder: string): string {
  return createHash("sha256").update(fileDigests(folder, TOKENIZER_FILES)).digest("hex");
}

function fileDigests(folder: string, names: readonly string[]): string {
  const digests = names.flatMap((name) => {
    const path = join(folder, name);
    if (!existsSync(path)) return [];
    return [[name, createHash("sha256").update(readFileSync(path)).digest("hex")]];
  });
  return JSON.stringify(digests);
}

/** Of every byte of a data file, or of every file in a folder; labels beside idx images count too. */
export async function fingerprintData(path: string): Promise<string> {
  const hash = createHash("sha256");
  for (const file of filesOf(path)) {
    const digest = createHash("sha256");
    await pipeline(createReadStream(file), digest);
    // In a folder of images names are classes; that of a single file says nothing.
    hash.update(`${file.slice(path.length)} ${digest.digest("hex")}\n`);
  }
  return hash.digest("hex");
}

function filesOf(path: string): readonly string[] {
  if (statSync(path).isDirectory()) {
    return readdirSync(path, { recursive: true, encoding: "utf8" })
      .toSorted()
      .map((name) => join(path, name))
      .filter((file) => statSync(file).isFile());
  }
  const name = basename(path).replace("images", "labels").replace("idx3", "idx1");
  const plain = name.replace(/\.gz$/i, "");
  const labels = [plain, `${plain}.gz`]
    .map((one) => join(dirname(path), one))
    .filter((file) => file !== path && name !== basename(path) && existsSync(file));
  return [path, ...labels];
}
