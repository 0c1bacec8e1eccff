import { render } from "preact";
import "../style/tokens.css";
import "../style/base.css";
import "../style/kit.css";
import "../style/shell.css";
import "../style/gate.css";
import "../style/admin.css";
import "../style/operate.css";
import "../style/people.css";
import { startConnection } from "../gate/connection";
import { startLanguage } from "../i18n";
import { startClock } from "../kit/clock";
import { startTheme } from "../kit/theme";
import { ADMIN_SCOPES } from "../wire/handshake";
import { App } from "./App";
import { startRoute } from "./route";
import { listener } from "./state";
import { words } from "./words";

startTheme();
startClock();
startRoute();
void startLanguage(words).then(() => {
  const root = document.getElementById("app");
  if (root) render(<App />, root);
  void startConnection(ADMIN_SCOPES, listener, true);
});
