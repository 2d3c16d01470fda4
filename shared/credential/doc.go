// Package credential is who may do what on NATS: the accounts and users of an installation, and the short-lived
// credentials with which viewers read.
//
// # Accounts
//
// NATS' operator mode, with three accounts:
//
//   - SLUICE has the streams. Only the installation's own programs connect to it, each as a user of its own that may do no
//     more than it needs (see Role).
//   - VIEWERS has nothing. What may be seen is imported: completions.> and rp.> from SLUICE, which in turn imports replay.*.*
//     from here. Whatever a viewer does, it reaches no stream, no inbox and no subject of SLUICE, and its connections count
//     against limits of this account, so that a flood of viewers never locks a worker out.
//   - SYS is the server's own.
//
// # Credentials
//
// A viewer's credential is a bearer user JWT, minted without asking the server (Minter) by a scoped signing key of VIEWERS:
// the key's template, kept in the account, decides what the credential opens, so that who has the key cannot mint more than
// that. The server enforces the expiry: it hangs up.
//
// Left to others: who may have a credential (the API), and that replays go to where their question came from only
// (eventlog).
package credential
