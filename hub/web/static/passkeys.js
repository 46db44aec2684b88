// Passkeys: a form with data-passkey gets one button that asks the browser and then sends the form.
// data-passkey says what for (sign-in, second, presence, first, new); the form has hidden fields "credential" and "state".

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
const described = (list) => (list ?? []).map((each) => ({ ...each, id: bytes(each.id) }));

async function make(options) {
  const made = await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: bytes(options.challenge),
      user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: described(options.excludeCredentials),
    },
  });
  const { clientDataJSON, attestationObject } = made.response;
  const response = { clientDataJSON: text(clientDataJSON), attestationObject: text(attestationObject) };
  return { id: made.id, rawId: text(made.rawId), type: made.type, response };
}

async function prove(options) {
  const got = await navigator.credentials.get({
    publicKey: {
      ...options,
      challenge: bytes(options.challenge),
      allowCredentials: described(options.allowCredentials),
    },
  });
  const { clientDataJSON, authenticatorData, signature, userHandle } = got.response;
  const response = {
    clientDataJSON: text(clientDataJSON),
    authenticatorData: text(authenticatorData),
    signature: text(signature),
    userHandle: userHandle ? text(userHandle) : null,
  };
  return { id: got.id, rawId: text(got.rawId), type: got.type, response };
}

async function answer(form) {
  const what = form.dataset.passkey;
  const asked = await fetch(`/hub/login/passkey-question?for=${what}`, { headers: { Accept: "application/json" } });
  const question = await asked.json();
  if (!asked.ok) throw new Error(question.message);
  const isNew = what === "new" || what === "first";
  const credential = await (isNew ? make(question.options) : prove(question.options));
  form.elements.credential.value = JSON.stringify(credential);
  form.elements.state.value = question.state;
}

const WORDS = {
  NotAllowedError: "The browser got no passkey: it was cancelled, took too long, or there is none for this hub here.",
  InvalidStateError: "This device has a passkey for this account already.",
  SecurityError: "Passkeys need the hub's own name and https.",
};

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential) continue; // plain http, or a very old browser: there is nothing to offer
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    if (form.elements.credential.value) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const problem = form.querySelector("[data-problem]");
    const button = form.querySelector("button");
    button.disabled = true;
    problem.hidden = true;
    try {
      await answer(form);
      form.submit();
    } catch (error) {
      problem.textContent = WORDS[error.name] ?? error.message;
      problem.hidden = false;
    } finally {
      button.disabled = false;
    }
  });
}
