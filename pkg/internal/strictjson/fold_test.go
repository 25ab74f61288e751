package strictjson_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

func TestFold(t *testing.T) {
	equal := [][]string{
		{"arguments", "ARGUMENTS", "argument\u017f"},
		{"task", "TA\u017fK", "ta\u017f\u212a", "Tas\u212a"},
		{"é", "É"},
		{"σ", "ς", "Σ"},
		{"\u00b5", "\u03bc", "\u039c"},
		{"\xff", "\xfe", "\ufffd"},
	}
	for i, class := range equal {
		for _, s := range class {
			if got, want := strictjson.Fold(s), strictjson.Fold(class[0]); got != want {
				t.Errorf("Fold(%q) = %q, want %q as for %q", s, got, want, class[0])
			}
			for j, other := range equal {
				if i != j && strictjson.Fold(s) == strictjson.Fold(other[0]) {
					t.Errorf("Fold(%q) = Fold(%q), want two", s, other[0])
				}
			}
		}
	}
}

func TestFoldIsEqualFold(t *testing.T) {
	word := rapid.StringOfN(rapid.RuneFrom([]rune("sSſkK\u212aaAåÅ\u212bßẞσςΣiIİıµμéx")), 0, 4, -1)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		if got, want := strictjson.Fold(a) == strictjson.Fold(b), strings.EqualFold(a, b); got != want {
			t.Errorf("Fold(%q) == Fold(%q) is %v, want %v", a, b, got, want)
		}
		if got := strictjson.Fold(strictjson.Fold(a)); got != strictjson.Fold(a) {
			t.Errorf("Fold(Fold(%q)) = %q, want %q", a, got, strictjson.Fold(a))
		}
	})
}
