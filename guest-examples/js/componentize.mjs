// Makes a component of one JavaScript module: `node componentize.mjs WIT MODULE COMPONENT`.
//
// While componentize-qjs runs a module for the first time, it has wasi:io of its own, and takes no wasi:http beside it ("mismatched
// resource types"). So it is shown all of WASI that a module may import under another name of the same length, which is then
// replaced in the component, and as another version, since a component imports a name once. The host gives any 0.2.x. The world is
// `web-route` for a module that imports wasi:http, else `described-route`.
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { componentize } from "componentize-qjs";

const [wit, module, to] = process.argv.slice(2);
const NAME = "wasi:";
const ALIAS = "wasj:";
const aliased = (text) => text.replaceAll(NAME, ALIAS).replace(/\b0\.2\.1[12]\b/g, "0.2.10");

const folder = await mkdtemp(join(tmpdir(), "wit-"));
try {
  await cp(wit, folder, { recursive: true });
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith(".wit")) continue;
    const file = join(entry.parentPath ?? entry.path, entry.name);
    await writeFile(file, aliased(await readFile(file, "utf8")));
  }
  const source = await readFile(module, "utf8");
  const { component } = await componentize({
    witPath: folder,
    world: /from\s*"wasi:http\//.test(source) ? "web-route" : "described-route",
    jsSource: source.replace(/from\s*"wasi:[a-z-]+\/[a-z-]+@[0-9.]+"/g, aliased),
    sync: true,
    optSize: true,
  });
  await writeFile(to, Buffer.from(component.toString("latin1").replaceAll(ALIAS, NAME), "latin1"));
} finally {
  await rm(folder, { recursive: true });
}
