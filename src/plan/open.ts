import { realpathSync } from "node:fs";
import { openCheckpoint } from "../checkpoint/open.js";
import { resolveFisher, type FisherReference } from "../fisher/resolve.js";
import { PlanError } from "../errors.js";
import type { Method } from "../methods/method.js";
import { resolvePath } from "../recipe/paths.js";
import type { Recipe, RecipeBase } from "../recipe/recipe.js";
import { readTied, type Participant, type Participants } from "./participants.js";

/**
 * Opens what a recipe names, and reads the headers: checkpoints, and the Fishers that the method can use.
 *
 * @throws RecipeError, CheckpointError, PickleError, TruncatedError, FisherError naming the file. What was opened is closed again.
 */
export async function openParticipants(recipe: Recipe, method: Method): Promise<Participants> {
  const opened: Participant[] = [];
  try {
    const { curvature } = method.needs;
    const open = async (
      named: RecipeBase,
      role: Participant["role"],
      required: boolean,
    ): Promise<Participant> => {
      const participant = await openParticipant(
        recipe,
        named,
        role,
        curvature === "none" ? "unused" : required ? "required" : "optional",
      );
      opened.push(participant);
      return participant;
    };
    const base = recipe.base && (await open(recipe.base, "base", curvature === "models and base"));
    const models: Participant[] = [];
    for (const model of recipe.models) models.push(await open(model, "model", true));
    checkDistinct(models);
    return { base, models };
  } catch (error) {
    for (const participant of opened) closeParticipant(participant);
    throw error;
  }
}

/** One folder under two names counts twice in silence: spellings are told apart by the recipe, links and absolute paths only here. */
function checkDistinct(models: readonly Participant[]): void {
  const seen = new Map<string, Participant>();
  for (const model of models) {
    const real = realpathSync(model.checkpoint.path);
    const same = seen.get(real);
    if (same !== undefined) {
      throw new PlanError({
        what: "a model is listed twice, under two names",
        where: real,
        got: `${same.name} and ${model.name}`,
        hint: "List it once, with the sum of the weights.",
      });
    }
    seen.set(real, model);
  }
}

async function openParticipant(
  recipe: Recipe,
  named: RecipeBase,
  role: Participant["role"],
  fisher: "unused" | "optional" | "required",
): Promise<Participant> {
  const path = resolvePath(named.model, recipe, named.at);
  const checkpoint = await openCheckpoint(path);
  try {
    const tied = readTied(path);
    if (fisher === "unused") return { role, name: named.model, checkpoint, tied };
    const reference = fisherReference(recipe, named);
    const resolved = await resolveFisher(
      reference,
      { name: named.model, path },
      fisher === "required",
    );
    if (resolved === undefined) return { role, name: named.model, checkpoint, tied };
    return {
      role,
      name: named.model,
      checkpoint,
      tied,
      fisher: { checkpoint: await openCheckpoint(resolved.path), resolved },
    };
  } catch (error) {
    checkpoint.close();
    throw error;
  }
}

function fisherReference(recipe: Recipe, { fisher }: RecipeBase): FisherReference {
  if (fisher.kind !== "given") return fisher;
  return {
    kind: "given",
    file: fisher.file && resolvePath(fisher.file, recipe, fisher.fileAt ?? fisher.at),
    scale: fisher.scale,
  };
}

export function closeParticipants({ base, models }: Participants): void {
  for (const participant of base === undefined ? models : [base, ...models])
    closeParticipant(participant);
}

function closeParticipant({ checkpoint, fisher }: Participant): void {
  checkpoint.close();
  fisher?.checkpoint.close();
}
