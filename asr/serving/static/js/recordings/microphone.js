/** A button that records with the microphone and hands over a file. */

import { make } from "../elements.js";
import { Recorder } from "../record/recorder.js";
import { t } from "../strings.js";
import { clock } from "../times.js";

/** Return `{button, close}`; `take(file)` gets each recording, `fail(message)` what went wrong. */
export function microphone(take, fail) {
  const recorder = new Recorder({ ended: () => stop() });
  let since = 0;
  let ticking = 0;
  const button = make("button", { type: "button", onclick: () => (since ? stop() : start()) }, t("recordings.record"));

  async function start() {
    button.disabled = true;
    try {
      await recorder.open();
      recorder.start();
      since = Date.now();
      const tick = () => (button.textContent = t("recordings.stop", { time: clock((Date.now() - since) / 1000, 0) }));
      tick();
      ticking = setInterval(tick, 500);
      button.classList.add("recording");
    } catch (error) {
      fail(error.message);
    } finally {
      button.disabled = false;
    }
  }

  async function stop() {
    if (!since) return;
    since = 0;
    clearInterval(ticking);
    button.classList.remove("recording");
    button.textContent = t("recordings.record");
    const { blob, started } = await recorder.stop();
    await recorder.close();
    if (blob) {
      const date = new Date(started.getTime() - 60_000 * started.getTimezoneOffset()).toISOString();
      const name = t("recordings.recordName", { date: date.slice(0, 19).replace("T", " ").replaceAll(":", "-") });
      take(new File([blob], name, { type: blob.type }));
    }
  }

  // A recording that runs when the view is left is kept: it is handed over as at its end.
  return { button, close: () => (since ? stop() : recorder.close()) };
}
