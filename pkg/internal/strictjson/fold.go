package strictjson

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fold returns s under Unicode simple case folding: two strings are equal under
// strings.EqualFold if and only if their Folds are equal. Some parsers match
// member names so, among them Go's encoding/json, to which U+017F (long s) is
// an "s" and U+212A (the Kelvin sign) a "k".
func Fold(s string) string {
	return strings.Map(foldRune, s)
}

// foldRune returns the smallest of the runes that fold to the same.
func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}
	smallest := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		smallest = min(smallest, next)
	}
	return smallest
}
