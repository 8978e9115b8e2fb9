/**
 * Signing in with an API key. The key is sent once and kept nowhere in the page.
 * @module
 */
import { getSession, signIn, signOut } from "./api.js";
import { byId } from "./dom.js";
import { fillSheet } from "./print_sheet.js";
import { word } from "./words.js";

/**
 * Asks the server for the session, and shows the dialog where a key is needed.
 * @param {() => void} onSignedIn Called whenever the page may call.
 * @param {(error: Error) => void} onError Called where signing out fails.
 */
export function watchSession(onSignedIn, onError) {
  const dialog = byId("sign-in");
  const key = byId("sign-in-key");
  let shown = false;
  const signedIn = () => {
    shown = true;
    onSignedIn();
  };
  const ask = () => {
    byId("sign-out").hidden = true;
    if (shown) lock(); // the next one to sign in may be another
    if (!dialog.open) dialog.showModal();
  };
  document.addEventListener("cardex:signed-out", ask);
  dialog.addEventListener("cancel", (event) => event.preventDefault()); // nothing works without a key
  byId("sign-in-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    byId("sign-in-error").textContent = "";
    try {
      await signIn(key.value);
      if (shown) {
        location.reload(); // so that nothing of what was shown is left
        return;
      }
      dialog.close();
      byId("sign-out").hidden = false;
      signedIn();
    } catch (error) {
      byId("sign-in-error").textContent = error.status === 401 ? word("sign_in.unknown") : error.message;
      key.select();
      return;
    } finally {
      key.value = "";
    }
  });
  byId("sign-out").addEventListener("click", async () => {
    try {
      await signOut();
    } catch {
      onError(new Error(word("sign_out.failed")));
      return;
    }
    location.hash = "";
    location.reload(); // so that nothing of what was shown is left
  });
  begin(ask, signedIn);
}

/** Hides what is shown, and what would be printed, until the page is loaded anew. */
function lock() {
  document.body.classList.add("locked");
  fillSheet(null);
}

async function begin(ask, onSignedIn) {
  try {
    const session = await getSession();
    if (session.needs_key && !session.signed_in) {
      ask();
      return;
    }
    byId("sign-out").hidden = !session.signed_in;
  } catch {
    // A server that does not answer says so at the first question.
  }
  onSignedIn();
}
