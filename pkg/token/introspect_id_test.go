package token_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cedargate/cedargate/pkg/token"
)

// Some providers name an opaque token by itself, or by itself without a prefix.
// The id of a token is in every record, where no token is.
func TestNoTokenIsItsOwnID(t *testing.T) {
	const raw = "oat_3q2-7wEjRWeJq83vASNFZ4"
	for jti, want := range map[string]string{
		raw: "", raw[4:]: "", "AT-" + raw: "", "": "", "another": "another",
	} {
		audience := ""
		w, _ := opaqueWorld(t, func(corp *token.Issuer) {
			corp.Introspection.Transport = transport(func(*http.Request) (*http.Response, error) {
				answer := httptest.NewRecorder()
				answer.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(answer, `{"active":true,"token_type":"Bearer","sub":"alice","aud":%q,"jti":%q}`, audience, jti)
				return answer.Result(), nil
			})
		})
		w.accept.Issuers, audience = []string{"corp"}, w.accept.Audiences[0]
		who, err := w.verify(t, raw)
		if err != nil {
			t.Fatalf("jti %q: %v", jti, err)
		}
		if who.ID == "" || strings.Contains(who.ID, raw[4:]) || want != "" && who.ID != want {
			t.Errorf("jti %q: the id is %q, want %q or a hash", jti, who.ID, want)
		}
	}
}
