package config

import "strings"

// suggestion is the hint for a word that is none of the known ones: the one
// that is probably meant, or all when they are few.
func suggestion(word string, known []string) string {
	best, distance := "", 3 // two typing errors at most
	for _, k := range known {
		if d := edits(fold(word), fold(k)); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	switch {
	case best != "":
		return "write " + best
	case 0 < len(known) && len(known) <= 12:
		return "known: " + strings.Join(known, ", ")
	}
	return ""
}

// fold makes spellings equal that differ in case and separators alone.
func fold(s string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s))
}

// edits counts the insertions, deletions and replacements of bytes that make b
// of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
