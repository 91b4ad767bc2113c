import type { ProgressTarget } from "./progress.js";

const FIRST_MILLISECONDS = 1000;

/** Shows on a terminal how much of some work is done, once it has gone on for a second. */
export function showShare(target: ProgressTarget): {
  show(share: number): void;
  clear(): void;
} {
  const start = performance.now();
  let shown = "";
  return {
    show(share) {
      const text = `${Math.floor(100 * share)}%`;
      if (target.isTTY !== true || text === shown) return;
      if (performance.now() - start < FIRST_MILLISECONDS) return;
      target.write(`\r${text}\u001b[K`);
      shown = text;
    },
    clear() {
      if (shown !== "") target.write("\r\u001b[K");
      shown = "";
    },
  };
}
