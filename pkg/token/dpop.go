package token

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

const (
	// proofWindow is how far iat may be from now, in either direction.
	proofWindow = 5 * time.Minute
	// maxProof and maxJTI bound a proof and its id, in bytes.
	maxProof = 8 << 10
	maxJTI   = 256
)

// ProofAlgorithms are the algorithms that sign DPoP proofs, in the order in
// which they are announced.
func ProofAlgorithms() []string {
	return []string{"ES256", "ES384", "ES512", "Ed25519", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
}

// A proof is a DPoP proof, read once.
type proof struct {
	*reading
	jti    string
	issued time.Time
	jwk    publicJWK
}

// proofChecks are the checks of RFC 9449 §4.3 that need no signature, in the
// order in which they are made. That there is one proof has been checked.
var proofChecks = []func(p *proof, c Credential, now time.Time) *Error{
	(*proof).checkHeader,
	(*proof).checkMethod,
	(*proof).checkURL,
	(*proof).checkTime,
	(*proof).checkToken,
	(*proof).checkID,
}

// checkProof refuses c unless its DPoP proof is one for this request, for this
// token, and by the key with the thumbprint bound, and has not been seen before
// (RFC 9449 §4.3, §7.1). The token has been verified: only who has a good one
// makes Cedargate verify proofs, and remember them.
func (v *Verifier) checkProof(ctx context.Context, c Credential, bound string, accept Accept) *Error {
	p, err := readProof(c.Proofs[0])
	if err != nil {
		return err
	}
	now := v.now()
	for _, check := range proofChecks {
		if err := check(p, c, now); err != nil {
			return err
		}
	}
	if p.jwk.thumbprint != bound {
		return badProof("jwk", "made with another key than the token is bound to")
	}
	if accept.DPoPNonce {
		if err := v.proofs.checkNonce(p.payload.Get("nonce").Text(), now); err != nil {
			return err
		}
	}
	if err := v.proving.begin(ctx); err != nil {
		return err
	}
	defer v.proving.end()
	if cause := verifySignature(p.reading, p.jwk.key); cause != nil {
		return badProof("", "its signature: %w", cause)
	}
	return v.proofs.first(bound, p.jti, p.issued, now)
}

// badProof makes the Error of a proof that is at fault.
func badProof(presented, format string, args ...any) *Error {
	return refuse(InvalidDPoPProof, presented, "DPoP proof: "+format, args...)
}

func readProof(raw string) (*proof, *Error) {
	raw = strings.Trim(raw, " \t")
	if len(raw) > maxProof {
		return nil, badProof("", "longer than %d bytes", maxProof)
	}
	r, err := read(raw)
	if err != nil {
		return nil, badProof("", "not a JWT: %w", err.Err)
	}
	return &proof{reading: r}, nil
}

// checkHeader reads typ, alg and jwk. A private key in jwk is refused: whoever
// made the proof does not know what the key is for.
func (p *proof) checkHeader(Credential, time.Time) *Error {
	p.alg = p.header.Get("alg").Text()
	switch {
	case p.header.Get("typ").Text() != "dpop+jwt":
		return badProof("typ", "typ is not dpop+jwt")
	case p.header.Get("crit").Kind() != strictjson.Absent:
		return badProof("crit", "header has crit: no extension is understood")
	case !slices.Contains(ProofAlgorithms(), p.alg):
		return badProof("alg", "alg %.40q is not one of %q", p.alg, ProofAlgorithms())
	}
	var cause error
	if p.jwk, cause = parseJWK(p.header.Get("jwk")); cause != nil {
		return badProof("jwk", "jwk: %w", cause)
	}
	return nil
}

func (p *proof) checkMethod(c Credential, _ time.Time) *Error {
	if htm := p.payload.Get("htm").Text(); htm == "" || htm != c.Method {
		return badProof("htm", "htm %.40q is not the method", htm)
	}
	return nil
}

// checkURL compares htu with the configured URL: a proxy may have changed what
// the request says, and the request is the caller's to write.
func (p *proof) checkURL(c Credential, _ time.Time) *Error {
	htu := p.payload.Get("htu").Text()
	got, ok := target(htu)
	if want, _ := target(c.URL); !ok || got != want {
		return badProof("htu", "htu is not %s, as far as to the query", c.URL)
	}
	return nil
}

func (p *proof) checkTime(_ Credential, now time.Time) *Error {
	iat := p.payload.Get("iat")
	at, ok := instant(iat)
	if !ok || iat.Kind() == strictjson.Absent {
		return badProof("iat", "iat is absent or not a number")
	}
	if d := now.Sub(at); d > proofWindow || d < -proofWindow {
		return badProof(stamp(at), "iat %s is not within %v of now", stamp(at), proofWindow)
	}
	p.issued = at
	return nil
}

func (p *proof) checkToken(c Credential, _ time.Time) *Error {
	sum := sha256.Sum256([]byte(c.Raw))
	if p.payload.Get("ath").Text() != base64.RawURLEncoding.EncodeToString(sum[:]) {
		return badProof("ath", "ath is not the hash of the token")
	}
	return nil
}

func (p *proof) checkID(Credential, time.Time) *Error {
	p.jti = p.payload.Get("jti").Text()
	if p.jti == "" || len(p.jti) > maxJTI {
		return badProof("jti", "jti is absent, empty or longer than %d bytes", maxJTI)
	}
	return nil
}

// target normalises an absolute URL without its query and fragment (RFC 9449
// §4.3; RFC 3986 §6.2.2, §6.2.3): scheme and host in lower case, no default
// port, "/" for an empty path, unreserved bytes not encoded.
func target(text string) (string, bool) {
	text, _, _ = strings.Cut(text, "#")
	text, _, _ = strings.Cut(text, "?")
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return "", false
	}
	host := strings.ToLower(u.Host)
	host = strings.TrimSuffix(host, map[string]string{"https": ":443", "http": ":80"}[u.Scheme])
	path := plainPath(u.EscapedPath())
	if path == "" {
		path = "/"
	}
	return u.Scheme + "://" + host + path, true
}

// plainPath writes the percent-encodings of a valid path in upper case, and
// takes those away that are not needed.
func plainPath(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	const upper = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) {
			b.WriteByte(path[i])
			continue
		}
		c := unhex(path[i+1])<<4 | unhex(path[i+2])
		i += 2
		if unreserved(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', upper[c>>4], upper[c&15]})
		}
	}
	return b.String()
}

// unhex returns the value of a hex digit.
func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// unreserved is RFC 3986 §2.3.
func unreserved(c byte) bool {
	lower := c | 0x20
	return lower >= 'a' && lower <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
