package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"
)

// KeyIssuer is the name that stands for an issuer in the Cedar ids of API keys.
// While there are keys, no Issuer has it.
const KeyIssuer = "key"

// An API key is keyPrefix, keyRandom characters of base32 (260 random bits, RFC
// 4648 §6), and keySum characters that are the CRC-32 of all before them: a
// secret scanner finds it by `cgk_[A-Z2-7]{59}` and tells a real one from a
// look-alike, and a typing error is told from a key that is not known.
const (
	keyPrefix = "cgk_"
	keyRandom = 52
	keySum    = 7
)

var base32NoPad = base32.StdEncoding.WithPadding(base32.NoPadding)

// An APIKey is what is kept of an API key: never the key itself.
type APIKey struct {
	// Name matches [a-z0-9-]+: the principal is MCP::Agent::"key/<Name>".
	Name string
	Hash KeyHash
	// Groups are those of the principal: MCP::Group::"key/<group>".
	Groups []string
	// Expires is the moment from which the key is refused; zero: never.
	Expires time.Time
}

// A KeyHash is the SHA-256 of a whole API key. A key has 260 random bits, so
// that a hash without salt and stretching tells nothing.
type KeyHash [sha256.Size]byte

// NewAPIKey makes a key from the system's randomness.
func NewAPIKey() string {
	key := keyPrefix + rand.Text() + rand.Text() // 26 characters of base32 each
	return key + sumOf(key)
}

// HashOf returns the hash of key, which need not be well-formed.
func HashOf(key string) KeyHash { return sha256.Sum256([]byte(key)) }

// ParseKeyHash reads what String writes. The error holds no part of text, which
// may be a key that was put in the wrong place.
func ParseKeyHash(text string) (KeyHash, error) {
	var h KeyHash
	digits, ok := strings.CutPrefix(text, "sha256:")
	if !ok || len(digits) != hex.EncodedLen(len(h)) || strings.ToLower(digits) != digits {
		return h, errors.New("not sha256: and 64 hex digits in lower case")
	}
	if _, err := hex.Decode(h[:], []byte(digits)); err != nil {
		return h, errors.New("not sha256: and 64 hex digits in lower case")
	}
	return h, nil
}

// String returns "sha256:" and 64 hex digits.
func (h KeyHash) String() string { return "sha256:" + hex.EncodeToString(h[:]) }

// IsAPIKey tells whether raw claims to be an API key. No JWT does: the header of
// one is a JSON object.
func IsAPIKey(raw string) bool { return strings.HasPrefix(raw, keyPrefix) }

func sumOf(text string) string {
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], crc32.ChecksumIEEE([]byte(text)))
	return base32NoPad.EncodeToString(sum[:])
}

// wellFormed tells whether raw is what NewAPIKey could have made.
func wellFormed(raw string) bool {
	const length = len(keyPrefix) + keyRandom + keySum
	if len(raw) != length || !IsAPIKey(raw) {
		return false
	}
	body := raw[len(keyPrefix) : length-keySum]
	other := func(c rune) bool { return (c < 'A' || c > 'Z') && (c < '2' || c > '7') }
	return !strings.ContainsFunc(body, other) && raw[length-keySum:] == sumOf(raw[:length-keySum])
}

// addKeys checks keys and adds them to v.
func (v *Verifier) addKeys(keys []APIKey) error {
	v.keys = make(map[KeyHash]APIKey, len(keys))
	names := make(map[string]bool, len(keys))
	for _, k := range keys {
		switch _, twice := v.keys[k.Hash]; {
		case !issuerName.MatchString(k.Name):
			return fmt.Errorf("API key %q: the name does not match [a-z0-9-]+", k.Name)
		case k.Hash == KeyHash{}:
			return fmt.Errorf("API key %q: no hash", k.Name)
		case twice || names[k.Name]:
			return fmt.Errorf("API key %q: a second one of that name or hash", k.Name)
		case slices.Contains(k.Groups, ""):
			return fmt.Errorf("API key %q: a group without a name", k.Name)
		}
		k.Groups = slices.Clone(k.Groups)
		names[k.Name], v.keys[k.Hash] = true, k
	}
	return nil
}

// keyChecks are all that is checked of an API key, in this order. A key is found
// by its hash alone: what is compared, and how long that takes, depends on a
// digest that nobody can choose, and tells nothing of a key.
var keyChecks = []keyCheck{
	{"shape", func(v *Verifier, r *keyReading, _ Accept) *Error {
		if !wellFormed(r.raw) {
			return refuse(MalformedAPIKey, "", "the checksum is wrong: a typing error, or no key of ours")
		}
		return nil
	}, func(*keyReading) string { return "an API key, the checksum is right" }},
	{"key", func(v *Verifier, r *keyReading, _ Accept) *Error {
		if r.key, r.known = v.keys[r.hash]; !r.known {
			return refuse(UnknownAPIKey, r.hash.short(), "no key has the hash %s…", r.hash.short())
		}
		return nil
	}, func(r *keyReading) string { return r.key.Name }},
	{"server", func(v *Verifier, r *keyReading, accept Accept) *Error {
		if !slices.Contains(accept.Keys, r.key.Name) {
			return refuse(APIKeyNotForServer, r.key.Name, "key %q is not one of %q", r.key.Name, accept.Keys)
		}
		return nil
	}, func(*keyReading) string { return "lists the key" }},
	{"expires", func(v *Verifier, r *keyReading, _ Accept) *Error {
		if e := r.key.Expires; !e.IsZero() && !v.now().Before(e) {
			return refuse(Expired, stamp(e), "key %q expired at %s", r.key.Name, stamp(e))
		}
		return nil
	}, func(r *keyReading) string { return stampOr(r.key.Expires, "never") }},
}

// A keyReading is an API key, read once.
type keyReading struct {
	raw   string
	hash  KeyHash
	key   APIKey
	known bool
}

// A keyCheck is one condition of an API key.
type keyCheck struct {
	name  string
	run   func(v *Verifier, r *keyReading, accept Accept) *Error
	found func(r *keyReading) string
}

// verifyKey returns who has the API key raw, if the server lists it.
func (v *Verifier) verifyKey(raw string, accept Accept) (Claims, error) {
	r := &keyReading{raw: raw, hash: HashOf(raw)}
	for _, c := range keyChecks {
		if err := c.run(v, r, accept); err != nil {
			return Claims{}, err
		}
	}
	return r.claims(), nil
}

// inspectKey is verifyKey for a person. A check that has nothing to go by is
// left out.
func (v *Verifier) inspectKey(raw string, accept Accept) (in Inspection) {
	r := &keyReading{raw: raw, hash: HashOf(raw)}
	for i, c := range keyChecks {
		if i > 1 && !r.known {
			in.skip(c.name, "without a key")
			continue
		}
		err, found := c.run(v, r, accept), ""
		if err == nil {
			found = c.found(r)
		}
		in.step(c.name, found, err)
	}
	if in.Err == nil {
		in.Claims = r.claims()
	}
	return in
}

// claims is what the configuration says about the key. The slices are shared,
// and are to be read only.
func (r *keyReading) claims() Claims {
	return Claims{
		Kind:      Agent,
		Issuer:    KeyIssuer,
		Subject:   r.key.Name,
		Groups:    r.key.Groups,
		ID:        r.hash.short(),
		ExpiresAt: r.key.Expires,
	}
}

// short is what records say of a key: enough to find its entry.
func (h KeyHash) short() string { return h.String()[:len("sha256:")+16] }
