import { type ProgressTarget, StatusLine } from "./status-line.js";
import { formatSeconds } from "./units.js";

/** How far some work on examples is. */
export interface WorkStep {
  /** What is being done. */
  readonly stage: string;
  /** Examples; where the work goes layer by layer, one counts in parts. */
  readonly done: number;
  /** Infinity while it is not known. */
  readonly total: number;
  readonly examplesPerSecond: number;
  readonly secondsLeft: number;
}

const PLAIN_MILLISECONDS = 10_000;
const DRAW_MILLISECONDS = 100;

/** Shows work on examples to a person: one line drawn over on a terminal, plain lines now and then elsewhere. */
export function showWork(target: ProgressTarget): {
  readonly show: (step: WorkStep) => void;
  readonly clear: () => void;
} {
  const line = new StatusLine(target, { plain: PLAIN_MILLISECONDS, drawn: DRAW_MILLISECONDS });
  return {
    show: (step) => line.show(() => describeStep(step)),
    clear: () => line.clear(),
  };
}

/** "examples: 1,200 of 2,000, 8.2 examples/s, 98 s left" */
function describeStep(step: WorkStep): string {
  const { stage, done, total, examplesPerSecond: speed, secondsLeft } = step;
  if (total === Infinity) return `${stage}: ${Math.floor(done)}  ${rateOf(speed)}`;
  const share = total === 0 ? 100 : (100 * done) / total;
  return `${stage}: ${Math.floor(done)} of ${total} (${share.toFixed(0)}%)  ${rateOf(speed)}  ${formatSeconds(secondsLeft)} left`;
}

function rateOf(speed: number): string {
  return `${speed >= 9.95 ? speed.toFixed(0) : speed.toFixed(1)} examples/s`;
}
