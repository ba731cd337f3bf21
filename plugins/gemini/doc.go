// Command clinvk-backend-gemini is clinvk's backend for the Gemini CLI. It keeps
// CLI processes warm and talks the Agent Client Protocol with them.
//
// How a conversation gets to the model depends on the login. With an API key or
// Vertex AI each session has settings of its own that replace the body of the CLI's
// request (conversation, instructions, tools, generation settings) as a whole, so
// that the model gets exactly what the client has sent. With a Google login the CLI
// talks to another API that knows no such settings; there, and in agent mode, the
// conversation is written into a session file which the CLI loads, and
// instructions come from a file. What follows from that: see system.go in
// internal/wire.
//
// Each process has a private home. In agent mode the user's settings.json, as far
// as it is plain JSON, lies below the settings that clinvk needs, and the user's
// GEMINI.md, commands, skills, agents, policies and extensions are linked in; in
// chat mode none of this is seen. Logins are linked in both and never opened.
//
// Sessions of agent mode are kept in files of our own (internal/kept), put together
// from what the CLI writes in a turn: see said.go in internal/wire. For the next turn
// they become a session file again, so that a kept conversation takes the same way as
// any other.
//
// Why a turn ended, its usage and the arguments of calls come from the file that
// the CLI records the model's responses in (--record-responses), since the protocol
// does not tell them. How long to wait after a 429 or 503 comes from the API's
// RetryInfo; a bare Retry-After header is not shown by the CLI.
package main
