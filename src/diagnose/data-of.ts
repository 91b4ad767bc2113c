import { UsageError } from "../errors.js";
import type { Task } from "./problem.js";

/**
 * The data file of each task; undefined where none is given.
 * @param data files by the name of a model in the recipe, or by the last part of its path
 * @throws UsageError for a name that no model has, or several
 */
export function dataOf(
  tasks: readonly Task[],
  data: Readonly<Record<string, string>>,
): readonly (string | undefined)[] {
  const names = tasks.map(({ name }) => name);
  const shortNames = names.map((name) => name.replace(/\/+$/, "").split("/").at(-1) ?? name);
  const files: (string | undefined)[] = names.map(() => undefined);
  for (const [name, file] of Object.entries(data)) {
    const exact = names.indexOf(name);
    const short = shortNames.flatMap((one, t) => (one === name ? [t] : []));
    const t = exact >= 0 ? exact : short.length === 1 ? short[0] : undefined;
    if (t === undefined) {
      throw new UsageError({
        what:
          short.length > 1
            ? "several models have this name"
            : "no model of the recipe has this name",
        got: name,
        expected: names.join(", "),
        hint: "name the model as the recipe does, or by the last part of its path",
      });
    }
    files[t] = file;
  }
  return files;
}
