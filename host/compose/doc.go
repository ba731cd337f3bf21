// Package compose runs several turns as one: side by side, or one after another with
// the answer of one in the prompt of the next. Turns fail one by one: what went wrong
// with one is never hidden by another.
package compose
