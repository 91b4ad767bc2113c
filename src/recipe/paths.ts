import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { RecipeError, type ErrorFacts } from "../errors.js";
import type { Position, RecipeText } from "./recipe.js";
import { recipeError } from "./text.js";

/** `owner/name`, as on the Hugging Face Hub. */
const HUB_ID = /^[A-Za-z0-9][\w.-]*\/[\w.-]+$/;

/**
 * The absolute path of a model or file that a recipe names: relative to the folder of the recipe if it exists there,
 * else relative to the working directory (as in mergekit).
 *
 * @param reference as written in the recipe
 * @param recipe the recipe, or the path of its file
 * @param at where in the recipe the reference stands, for the message
 * @throws RecipeError naming every place that was tried
 */
export function resolvePath(
  reference: string,
  recipe: RecipeText | string | undefined,
  at?: Position,
): string {
  const file = typeof recipe === "object" ? recipe.file : recipe;
  const places = [
    ...new Set([
      ...(file === undefined ? [] : [resolve(dirname(file), reference)]),
      resolve(reference),
    ]),
  ];
  const found = places.find((path) => existsSync(path));
  if (found !== undefined) return found;

  const facts: Omit<ErrorFacts, "where"> = {
    what: `There is no ${reference}`,
    got: places.map((path) => `nothing at ${path}`).join(" and "),
    expected: "a path relative to the folder of the recipe, or to the working directory",
    hint: HUB_ID.test(reference)
      ? `If this is a model of the Hugging Face Hub, download it first (hf download ${reference} --local-dir ${reference}).`
      : undefined,
  };
  throw typeof recipe === "object" && at !== undefined
    ? recipeError(recipe, at, facts)
    : new RecipeError({ ...facts, where: file });
}
