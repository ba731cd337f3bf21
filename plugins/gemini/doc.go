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
package main
