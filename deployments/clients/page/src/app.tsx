import { Batches, BatchesSide } from "./batches/view.js";
import { Chat } from "./chat/view.js";
import { ChatSide } from "./chat/side.js";
import { Help } from "./help.js";
import { reconnecting } from "./net.js";
import { route } from "./route.js";
import { access } from "./session.js";
import { Side } from "./side.js";
import { drawer } from "./shell.js";
import { SignIn } from "./signin.js";
import { System } from "./system/view.js";
import { Confirm } from "./ui/confirm.js";
import { Spinner } from "./ui/piece.js";
import { Toasts } from "./ui/toast.js";

export function App() {
  if (access.value === "out") return <><Banner /><SignIn /></>;
  if (access.value === "unknown") return <Banner />;
  return (
    <div class={drawer.value ? "shell drawer-open" : "shell"}>
      <Side><SideOfView /></Side>
      {drawer.value && <button type="button" class="scrim" aria-label="Close the side bar" onClick={() => { drawer.value = false; }} />}
      <main class="content" inert={drawer.value}>
        <Banner />
        <View />
      </main>
      <Help />
      <Confirm />
      <Toasts />
    </div>
  );
}

function View() {
  switch (route.value.view) {
    case "chat":
      return <Chat />;
    case "batches":
      return <Batches />;
    case "system":
      return <System />;
  }
}

/** What a view has in the side bar. */
function SideOfView() {
  switch (route.value.view) {
    case "chat":
      return <ChatSide />;
    case "batches":
      return <BatchesSide />;
    case "system":
      return null;
  }
}

function Banner() {
  return (
    <div role="status">
      {reconnecting.value && <div class="banner" data-testid="reconnecting"><Spinner label="Reconnecting" />Reconnecting…</div>}
    </div>
  );
}
