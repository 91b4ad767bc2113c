import type { ProgressTarget } from "../report/progress.js";
import { formatSeconds } from "../report/units.js";
import type { StudyEvent } from "./events.js";

const PLAIN_MILLISECONDS = 10_000;
const DRAW_MILLISECONDS = 100;

/** Shows a study's events to a person: one line drawn over on a terminal, plain lines now and then elsewhere. */
export function showStudy(target: ProgressTarget): (event: StudyEvent) => void {
  let last = -Infinity;
  let drawn = false;
  const clear = (): void => {
    if (drawn) target.write("\r\u001b[K");
    drawn = false;
  };
  return (event) => {
    const isTerminal = target.isTTY === true;
    if (event.event === "plan") {
      const there = event.reused > 0 ? `, ${event.reused} done already` : "";
      target.write(`${event.merges} merges, ${event.stages} stages${there}\n`);
    } else if (event.event === "failure") {
      clear();
      target.write(`${event.label} is left out: ${event.message}\n`);
    } else if (event.event === "stage" || event.event === "progress") {
      const now = performance.now();
      // A stage that takes long, such as training, is always worth a line.
      const isLong = event.event === "stage" && event.kind !== "evaluate";
      if (now - last < (isTerminal ? DRAW_MILLISECONDS : PLAIN_MILLISECONDS) && !isLong) return;
      last = now;
      const text = describeEvent(event);
      target.write(isTerminal ? `\r${text}\u001b[K` : `${text}\n`);
      drawn = isTerminal;
    } else clear();
  };
}

/** "[12/84] evaluate gradient_matching α=0.5 on yelp  40%  about 3 min 10 s left" */
function describeEvent(event: Extract<StudyEvent, { event: "stage" | "progress" }>): string {
  const { number, total, kind, label, secondsLeft } = event;
  const share = event.event === "progress" ? `  ${Math.floor(100 * event.share)}%` : "";
  const left = Number.isNaN(secondsLeft) ? "" : `  about ${formatSeconds(secondsLeft)} left`;
  return `[${number}/${total}] ${kind} ${label}${share}${left}`;
}
