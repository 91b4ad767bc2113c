import { InvalidArgumentError, type Command } from "commander";
import { failWith } from "./fail.js";

interface Flags {
  readonly out: string;
  readonly quick?: boolean;
  readonly seed: number;
}

export function register(program: Command): void {
  program
    .command("demo")
    .description("make small models, merge them by every method, and show how close each comes")
    .option("--out <folder>", "where to write models, recipes, merges and report", "demo-out")
    .option("--quick", "a smaller one, in seconds")
    .option("--seed <n>", "another one; the same seed gives the same figures", wholeNumber, 1)
    .addHelpText(
      "after",
      `
Examples:
  $ gradmerge demo
  $ gradmerge demo --quick --seed 7 --out /tmp/demo`,
    )
    .action(demoCommand);
}

async function demoCommand({ out, quick = false, seed }: Flags): Promise<void> {
  try {
    const { writeFileSync } = await import("node:fs");
    const { join } = await import("node:path");
    const { runDemo } = await import("../demo/demo.js");
    const { demoTables, describeTables } = await import("../demo/tables.js");
    const onStage = (text: string): void => void process.stderr.write(`${text}\n`);
    const results = await runDemo({ out, quick, seed, onStage });
    process.stdout.write(`\n${describeTables(demoTables(results))}\n`);
    const { demoPage, errorPlot } = await import("../demo/page.js");
    const { standaloneSvg } = await import("../report/plot.js");
    const report = join(out, "report.html");
    writeFileSync(report, demoPage(results));
    writeFileSync(join(out, "error.svg"), standaloneSvg(errorPlot(results)));
    process.stdout.write(`${results.seconds.toFixed(1)} s. Open ${report}\n`);
  } catch (error) {
    failWith(error);
  }
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError("Expected a whole number from 0 up.");
}
