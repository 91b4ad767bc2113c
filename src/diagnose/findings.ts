import type { Diagnosis } from "./diagnose.js";

/** Something that follows, in words. */
export interface Finding {
  /** The rule that it comes from, as docs/diagnose.md lists them. */
  readonly rule: string;
  readonly text: string;
}

export function findingsOf(_diagnosis: Omit<Diagnosis, "findings">): readonly Finding[] {
  return [];
}
