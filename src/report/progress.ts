import type { MergeEvent } from "../run/events.js";
import { formatBytes, formatSeconds } from "./units.js";

/** Where progress is shown: a terminal (one line, drawn over), or a file or pipe (plain lines, now and then). */
export interface ProgressTarget {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

const PLAIN_MILLISECONDS = 5000;

/** Shows the events of a merge to a person, who reads them on standard error. */
export function showProgress(target: ProgressTarget): (event: MergeEvent) => void {
  let lastPlain = performance.now();
  let drawn = false;
  const clear = (): void => {
    if (drawn) target.write("\r\u001b[K");
    drawn = false;
  };
  return (event) => {
    if (event.event === "plan") {
      const resumed = event.resumed > 0 ? `, ${event.resumed} done already` : "";
      target.write(
        `${event.method}: ${event.tensors} tensors${resumed}, ${formatBytes(event.inputBytes)} in, ${formatBytes(event.outputBytes)} out, ${event.workers} workers\n`,
      );
    } else if (event.event === "warning") {
      clear();
      target.write(`warning: ${event.message}\n`);
    } else if (event.event === "progress") {
      const share = event.totalBytes === 0 ? 1 : Math.min(1, event.bytes / event.totalBytes);
      const text = `${(100 * share).toFixed(0).padStart(3)}%  ${formatBytes(event.bytes)} of ${formatBytes(event.totalBytes)}  ${formatBytes(event.bytesPerSecond)}/s  ${formatSeconds(event.secondsLeft)} left`;
      if (target.isTTY === true) {
        const width = Math.max(0, Math.min(30, (target.columns ?? 80) - text.length - 5));
        const full = Math.round(width * share);
        const bar = width < 5 ? "" : `[${"=".repeat(full)}${" ".repeat(width - full)}] `;
        target.write(`\r${bar}${text}\u001b[K`);
        drawn = true;
      } else if (performance.now() - lastPlain >= PLAIN_MILLISECONDS) {
        target.write(`${text}\n`);
        lastPlain = performance.now();
      }
    } else clear();
  };
}
