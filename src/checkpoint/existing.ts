import { existsSync } from "node:fs";
import { OutputError } from "../errors.js";

/**
 * Nothing is ever overwritten.
 * @param kind what is to be written
 * @throws OutputError where there is something of this name
 */
export function refuseExisting(out: string, kind: "file" | "folder"): void {
  if (!existsSync(out)) return;
  throw new OutputError({
    what: "the output is already there",
    where: out,
    hint:
      kind === "file"
        ? "choose another name, or remove the file; nothing is overwritten"
        : "choose another folder, or remove this one; nothing is overwritten",
  });
}
