import { useState } from "preact/hooks";
import { refusal, signIn } from "./session.js";
import { Button } from "./ui/button.js";
import { Mark } from "./ui/mark.js";
import { Field } from "./ui/piece.js";

/** Asks for the API key. */
export function SignIn() {
  const [secret, setSecret] = useState("");
  return (
    <main class="gate-keeper">
      <form onSubmit={(event) => { event.preventDefault(); if (secret.trim()) void signIn(secret.trim()); }}>
        <div>
          <Mark size={40} />
          <h1>Sign in to Sluice</h1>
        </div>
        <p>With an API key of this installation. It stays in this browser until you sign out.</p>
        <Field label="API key">
          <input
            type="password" name="key" autocomplete="current-password" placeholder="sk-sluice-…" required autofocus
            aria-invalid={refusal.value !== ""} value={secret} onInput={(event) => setSecret(event.currentTarget.value)}
          />
        </Field>
        <div class="wrong" role="alert">{refusal.value}</div>
        <Button kind="main" type="submit">Sign in</Button>
      </form>
    </main>
  );
}
