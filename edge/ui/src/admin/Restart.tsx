import { useEffect, useState } from "preact/hooks";
import { hello, link, request } from "../gate/connection";
import { t, tn } from "../i18n";
import { Dialog } from "../kit/Dialog";
import { CallError } from "../wire/calls";
import { loadStatus, status, storage } from "./state";

type Step = "ask" | "stopping" | "starting" | "ready" | { failed: string };

export function Restart({ onClose }: { onClose(): void }) {
  const [step, setStep] = useState<Step>("ask");
  const boot = hello.value?.moltbot?.bootId;
  const [before, setBefore] = useState(boot);
  useEffect(() => void loadStatus(), []);
  useEffect(() => {
    if (step === "stopping" && link.value.at !== "online") setStep("starting");
    // Back, and another process than the one that was asked to go.
    if (step === "stopping" || step === "starting") {
      if (link.value.at === "online" && boot !== before) setStep("ready");
    }
  }, [link.value, boot, step]);
  const run = async () => {
    setBefore(boot);
    setStep("stopping");
    try {
      await request("gateway.restart");
    } catch (error) {
      // Losing the connection is what was asked for.
      const lost = error instanceof CallError && error.code === "OFFLINE";
      if (!lost) setStep({ failed: error instanceof Error ? error.message : "" });
    }
  };
  return (
    <Dialog title={t(step === "ask" ? "restart.title" : "restart.running")} onClose={onClose}>
      {step === "ask" ? <Consequences /> : <Steps step={step} />}
      <div class="acts end">
        <button type="button" class="btn quiet" onClick={onClose}>
          {t(step === "ask" ? "act.cancel" : "act.close")}
        </button>
        {step === "ask" && (
          <button type="button" class="btn danger" onClick={() => void run()}>
            {t("restart.do")}
          </button>
        )}
      </div>
    </Dialog>
  );
}

/** Who is affected and what is safe, before anything happens. */
function Consequences() {
  const connections = status.value?.connections ?? [];
  const lag = storage.value?.lagEvents ?? 0;
  return (
    <>
      {connections.length === 0 ? (
        <p>{t("restart.nobody")}</p>
      ) : (
        <>
          <p>{tn("restart.who", connections.length)}</p>
          <ul class="who-list">
            {connections.map((one, index) => (
              <li key={index}>
                <span dir="auto">{one.name || t("devices.unnamed")}</span>
                {one.deviceId !== undefined && one.deviceId === hello.value?.moltbot?.deviceId && (
                  <span class="sub"> · {t("devices.this")}</span>
                )}
              </li>
            ))}
          </ul>
        </>
      )}
      <p>{lag > 0 ? tn("restart.ships", lag) : t("restart.shipsNone")}</p>
      <p class="soft">{t("restart.runs")}</p>
    </>
  );
}

const ORDER = ["stopping", "starting", "ready"] as const;
const NAMES = ["restart.stop", "restart.start", "restart.ready"] as const;

function Steps({ step }: { step: Exclude<Step, "ask"> }) {
  if (typeof step === "object") {
    return <p class="problem">{t("restart.failed", { message: step.failed })}</p>;
  }
  const at = ORDER.indexOf(step);
  return (
    <>
      <ol class="steps">
        {NAMES.map((name, index) => (
          <li
            key={name}
            class={index < at || step === "ready" ? "past" : undefined}
            aria-current={index === at ? "step" : undefined}
          >
            {t(name)}
          </li>
        ))}
      </ol>
      <p role="status">{t(stepWords(step))}</p>
    </>
  );
}

function stepWords(step: (typeof ORDER)[number]) {
  if (step === "stopping") return "restart.stopping";
  return step === "starting" ? "restart.starting" : "restart.done";
}
