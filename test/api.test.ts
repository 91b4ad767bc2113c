import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";

const project = fileURLToPath(new URL("..", import.meta.url));
const declarations = mkdtempSync(join(tmpdir(), "gradmerge-api-"));
afterAll(() => rmSync(declarations, { recursive: true }));

/** A declaration file as TypeScript writes it: one statement begins in the first column, and no other line does. */
interface Module {
  /** Name → statement. */
  readonly declared: ReadonlyMap<string, string>;
  /** Local name → where it comes from. */
  readonly imported: ReadonlyMap<string, Origin>;
  /** Exported name → where it comes from, for what is passed on. */
  readonly passedOn: ReadonlyMap<string, Origin>;
}
interface Origin {
  readonly file: string;
  readonly name: string;
}

const modules = new Map<string, Module>();
function moduleAt(file: string): Module {
  let parsed = modules.get(file);
  if (parsed === undefined) modules.set(file, (parsed = parse(file)));
  return parsed;
}

function parse(file: string): Module {
  const declared = new Map<string, string>();
  const imported = new Map<string, Origin>();
  const passedOn = new Map<string, Origin>();
  const source = readFileSync(join(declarations, file), "utf8");
  for (const statement of source.split(/\n(?=[^\s}\])])/)) {
    const all = /^export \* from "(\.[^"]*)"/.exec(statement)?.[1];
    if (all !== undefined) {
      const from = join(dirname(file), all).replace(/\.js$/, ".d.ts");
      const { declared: names, passedOn: further } = moduleAt(from);
      for (const [name, text] of names) {
        if (text.startsWith("export")) passedOn.set(name, { file: from, name });
      }
      for (const [name, origin] of further) passedOn.set(name, origin);
      continue;
    }
    const link = /^(import|export) (?:type )?\{([^}]*)\} from "(\.[^"]*)"/.exec(statement);
    if (link !== null) {
      const [, kind, names = "", path = ""] = link;
      const from = join(dirname(file), path).replace(/\.js$/, ".d.ts");
      for (const item of names.split(",")) {
        const [name = "", local = name] = item
          .trim()
          .replace(/^type /, "")
          .split(" as ");
        if (name !== "") (kind === "import" ? imported : passedOn).set(local, { file: from, name });
      }
      continue;
    }
    const declaration =
      /^(?:export )?(?:declare )?(?:abstract )?(?:function|class|interface|type|const|enum) (\w+)/;
    const name = declaration.exec(statement)?.[1];
    if (name === undefined) continue;
    const before = declared.get(name);
    // Overloads are statements of the same name.
    declared.set(name, before === undefined ? statement.trim() : `${before}\n${statement.trim()}`);
  }
  return { declared, imported, passedOn };
}

/** Follows a name to the statement that declares it. */
function locate({ file, name }: Origin): (Origin & { readonly statement: string }) | undefined {
  const { declared, imported, passedOn } = moduleAt(file);
  const statement = declared.get(name);
  if (statement !== undefined) return { file, name, statement };
  const next = passedOn.get(name) ?? imported.get(name);
  return next && locate(next);
}

it("the public interface is the one in test/api.snapshot.md (npx vitest run test/api.test.ts -u writes it anew)", async () => {
  const tsc = spawnSync(
    process.execPath,
    [
      join(project, "node_modules/typescript/bin/tsc"),
      "-p",
      join(project, "tsconfig.build.json"),
      "--outDir",
      declarations,
      "--emitDeclarationOnly",
      "--removeComments",
    ],
    { encoding: "utf8" },
  );
  expect(tsc.stdout + tsc.stderr).toBe("");

  const root = moduleAt("index.d.ts");
  const names = [...root.passedOn.keys(), ...root.declared.keys()].sort();
  const shown = new Map<string, string>();
  const sections = [
    "# The public interface",
    "Written by test/api.test.ts. What is exported comes first, then what its signatures refer to.",
  ];
  const pending: (Origin & { readonly isValue: boolean })[] = [];
  const show = (origin: Origin, title: string): string => {
    const found = locate(origin);
    if (found === undefined) throw new Error(`${origin.file} declares no ${origin.name}`);
    shown.set(`${found.file} ${found.name}`, title);
    const { declared, imported } = moduleAt(found.file);
    for (const [, typeOf, word = ""] of found.statement.matchAll(
      /(typeof )?\b([A-Za-z_$][\w$]*)/g,
    )) {
      const isValue = typeOf !== undefined;
      const elsewhere = imported.get(word);
      if (declared.has(word)) pending.push({ file: found.file, name: word, isValue });
      if (elsewhere !== undefined) pending.push({ ...elsewhere, isValue });
    }
    const statement = found.statement.replace(/^export (declare )?/gm, "");
    return `## ${title}\n\n\`\`\`ts\n${statement}\n\`\`\``;
  };
  for (const name of names) sections.push(show({ file: "index.d.ts", name }, name));
  const reachable: string[] = [];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const found = locate(next);
    if (found === undefined || shown.has(`${found.file} ${found.name}`)) continue;
    // A property may be called like a function of its module; only types, and what `typeof` names, are referred to.
    if (/^(export )?(declare )?function/.test(found.statement)) continue;
    if (/^(export )?(declare )?const/.test(found.statement) && !next.isValue) continue;
    reachable.push(show(found, `${found.name} (${relative(".", found.file)}, not exported)`));
  }
  sections.push(...reachable.sort());
  await expect(`${sections.join("\n\n")}\n`).toMatchFileSnapshot("api.snapshot.md");
});
