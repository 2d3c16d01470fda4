import { run } from "./driver.mjs";

window.lines = [];
window.act = (plan) => { void run(plan, (line) => window.lines.push(line)); };
