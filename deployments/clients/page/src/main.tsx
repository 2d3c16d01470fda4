import { render } from "preact";
import "./style/token.css";
import "./style/base.css";
import "./style/ui.css";
import "./style/grid.css";
import "./style/shell.css";
import "./style/chat.css";
import "./style/markdown.css";
import { App } from "./app.js";
import { enter } from "./session.js";

const root = document.getElementById("app");
if (root) render(<App />, root);
void enter();
