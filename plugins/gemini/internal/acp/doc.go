// Package acp is the client side of the Agent Client Protocol: JSON-RPC 2.0, one
// message per line, over the stdin and stdout of an agent.
package acp
