import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("schema")
    .description("print the JSON Schema of recipes, for editors")
    .addHelpText("after", "\nExample:\n  $ gradmerge schema > recipe.schema.json")
    .action(async () => {
      const { recipeJsonSchema } = await import("../recipe/schema.js");
      const { methods } = await import("../methods/index.js");
      process.stdout.write(`${JSON.stringify(recipeJsonSchema(methods), null, 2)}\n`);
    });
}
