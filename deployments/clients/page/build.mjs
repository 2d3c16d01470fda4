// Bundles the page into the folder that the API embeds. The same sources make the same bytes, wherever they lie.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, parse, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "../../../api/internal/site/dist"));

const { outputFiles } = await build({
  absWorkingDir: here,
  entryPoints: ["src/main.tsx", "src/dark.ts"],
  outdir: "/out",
  write: false,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome111", "firefox113", "safari16.4"],
  legalComments: "none",
  jsx: "automatic",
  jsxImportSource: "preact",
  tsconfig: "tsconfig.json", // for the client's sources too, whatever lies beside them
  alias: { "@sluice/client": resolve(here, "../js/src/index.ts"), "@sluice/client/http": resolve(here, "../js/src/http.ts"), "@sluice/client/wait": resolve(here, "../js/src/wait.ts") },
  nodePaths: [join(here, "node_modules")], // for the client's sources, which lie outside
  logLevel: "warning",
});

await rm(out, { recursive: true, force: true });
await mkdir(join(out, "assets"), { recursive: true });

const names = {};
const files = outputFiles.map(({ path, contents }) => [parse(path).base, contents]);
files.push(["mark.svg", await readFile(join(here, "src/mark.svg"))]);
for (const [file, contents] of files) {
  const { name, ext } = parse(file);
  const hash = createHash("sha256").update(contents).digest("hex").slice(0, 10);
  names[file] = `/assets/${name}-${hash}${ext}`;
  await writeFile(join(out, names[file]), contents);
}

const index = await readFile(join(here, "src/index.html"), "utf8");
await writeFile(join(out, "index.html"), index.replace(/\{\{(.+?)\}\}/g, (_, file) => {
  if (!names[file]) throw new Error(`index.html names ${file}, which is not built`);
  return names[file];
}));
