// Package cut finds where an answer that comes in pieces has to end: at a stop
// sequence, or after a number of tokens. How the answer is split makes no difference.
package cut
