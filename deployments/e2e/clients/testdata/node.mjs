import WebSocket from "ws";
import { run } from "./driver.mjs";

await run(JSON.parse(process.argv[2]), (line) => console.log(JSON.stringify(line)), { WebSocket });
