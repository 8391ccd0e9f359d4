#!/usr/bin/env bash
# Talks to Flux from a shell: bash and curl are all it needs.
set -euo pipefail
export LC_ALL=C # text is bytes here, so an id of any alphabet is encoded byte by byte

usage() {
  cat <<'TEXT'
usage: scripts/flux.sh COMMAND [ARGUMENT]...

  health                                 whether Flux is well
  publish ID PROPERTIES [OPTION]...      set properties of an entity; PROPERTIES is a JSON object, or
                                         - to read it from standard input
            --source TEXT                who says so (flux.sh)
            --stream NAME                lower-case words with dots (shell)
            --event-id TEXT              sent again, the same id is applied once: makes a retry safe
  get ID                                 one entity
  list [--namespace NAME] [--prefix TEXT]
  delete ID                              one entity
  batch-delete ID... | --namespace NAME | --prefix TEXT
  batch FILE|-                           many events: {"events": [...]} or an array; the answer tells
                                         what became of each
  connectors                             the connectors and their status
  admin-config [NAME=VALUE]...           show the configuration, or change it

Answers are printed as the server sent them, which is JSON. An answer that is an error goes to
standard error, and the exit code is 1. A -- ends the options: what follows may begin with a dash.

Environment:
  FLUX_URL           where Flux listens (http://localhost:3000)
  FLUX_TOKEN         the token of your namespace, where Flux asks for one
  FLUX_ADMIN_TOKEN   the token for admin-config
  FLUX_CA            a PEM file of the authorities to trust under https (those of this machine)

Examples:
  scripts/flux.sh publish home/lamp '{"on": true, "color": "warm"}'
  scripts/flux.sh get 'home/kitchen/big "lamp"'
  scripts/flux.sh list --prefix home/kitchen/ | jq '.[].id'
  echo '[{"stream": "home", "source": "me",
          "payload": {"entity_id": "home/lamp", "properties": {"on": false}}}]' | scripts/flux.sh batch -
  scripts/flux.sh batch-delete --prefix home/kitchen/
  scripts/flux.sh admin-config rate_limit_enabled=false
TEXT
}

die() {
  printf 'flux.sh: %s\n' "$*" >&2
  exit 1
}

misuse() { die "$*; see: scripts/flux.sh help"; }

# -- text ------------------------------------------------------------------------------------------

# percent_encode TEXT: prints it for a URL. Slashes stay; a dot that begins a segment does not, for
# as . or .. the segment would be taken for a step in the path.
percent_encode() {
  local text="$1" encoded="" before="/" char code i
  for ((i = 0; i < ${#text}; i++)); do
    char="${text:i:1}"
    if [[ "$char" == [A-Za-z0-9_~/-] || ("$char" == . && "$before" != /) ]]; then
      encoded+="$char"
    else
      printf -v code '%d' "'$char"
      printf -v code '%%%02X' "$((code & 255))"
      encoded+="$code"
    fi
    before="$char"
  done
  printf '%s' "$encoded"
}

# json_string TEXT: prints it as a JSON string.
json_string() {
  local text="$1" string="" char i
  for ((i = 0; i < ${#text}; i++)); do
    char="${text:i:1}"
    case "$char" in
      '"' | \\) string+="\\$char" ;;
      [[:cntrl:]])
        printf -v char '\\u%04x' "'$char"
        string+="$char"
        ;;
      *) string+="$char" ;;
    esac
  done
  printf '"%s"' "$string"
}

# json_value TEXT: prints a number, true, false or null as it is, anything else as a JSON string.
json_value() {
  local number='^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$'
  if [[ "$1" =~ $number || "$1" == true || "$1" == false || "$1" == null ]]; then
    printf '%s' "$1"
  else
    json_string "$1"
  fi
}

# joined TEXT...: prints the texts with commas between them.
joined() {
  local IFS=,
  printf '%s' "$*"
}

# -- requests --------------------------------------------------------------------------------------

# headers: prints those of a request. curl reads them from a pipe, because its arguments can be read
# by every user of the machine.
headers() {
  printf '%s\n' 'Content-Type: application/json' 'Expect:'
  if [[ -n "$token" ]]; then printf 'Authorization: Bearer %s\n' "$token"; fi
}

# request METHOD PATH [OPTION FOR CURL]...: prints the answer, or tells the error and exits.
request() {
  local method="$1" path="$2" status code=0
  shift 2
  status="$(
    curl --disable --silent --globoff --path-as-is --connect-timeout 5 --max-time 120 \
      ${FLUX_CA:+--cacert "$FLUX_CA"} --noproxy "${NO_PROXY:-${no_proxy:-}},localhost,127.0.0.1,::1" \
      --request "$method" --header @<(headers) "$@" \
      --output "$answer" --write-out '%{http_code}' -- "$url$path"
  )" || code="$?"
  case "$code" in
    0) ;;
    6 | 7) die "cannot reach Flux at $url; start it with \`flux up\` or set FLUX_URL" ;;
    60 | 77) die "the certificate of $url is not trusted; set FLUX_CA to the file of the authority that issued it" ;;
    28) die "Flux at $url took too long to answer; try again" ;;
    *) die "the exchange with Flux at $url failed (curl's exit code $code); try again" ;;
  esac
  if [[ "$status" != 2?? ]]; then die "$(error_text) ($status)"; fi
  if [[ -s "$answer" ]]; then
    cat -- "$answer"
    echo
  fi
}

# request_with METHOD PATH BODY: the same with a body.
request_with() { request "$1" "$2" --data-binary @- <<<"$3"; }

# error_text: prints what the answer says about the error, in one line.
error_text() {
  local text=""
  if command -v jq >/dev/null; then text="$(jq -r '.error // empty' "$answer" 2>/dev/null)" || text=""; fi
  if [[ -z "$text" ]]; then text="$(head -c 1000 -- "$answer" | tr -d '\0')"; fi
  text="${text:-the server gave no reason; check that FLUX_URL names a Flux}"
  printf '%s' "${text//[[:cntrl:]]/ }"
}

entity_path() {
  if [[ -z "$1" ]]; then misuse "the id must not be empty"; fi
  printf '/api/state/entities/%s' "$(percent_encode "$1")"
}

# -- commands --------------------------------------------------------------------------------------

# take_words NAME... -- ARGUMENT...: sorts arguments into the array `words` and, for each option
# --NAME, a variable option_NAME (with _ for -).
take_words() {
  local known=" "
  words=()
  while [[ "$1" != -- ]]; do
    known+="--$1 "
    shift
  done
  shift
  while (($#)); do
    case "$1" in
      --)
        shift
        words+=("$@")
        return
        ;;
      -?*)
        if [[ "$known" != *" $1 "* ]]; then misuse "$command has no option $1"; fi
        if (($# < 2)); then misuse "$1 needs a value"; fi
        local name="${1#--}"
        printf -v "option_${name//-/_}" '%s' "$2"
        shift 2
        ;;
      *)
        words+=("$1")
        shift
        ;;
    esac
  done
}

need_words() { # need_words NUMBER WHAT
  if ((${#words[@]} != $1)); then misuse "$command takes $2"; fi
}

publish() {
  local option_source="flux.sh" option_stream="shell" option_event_id="" properties body
  take_words source stream event-id -- "$@"
  need_words 2 "an id and its properties"
  if [[ -z "${words[0]}" ]]; then misuse "the id must not be empty"; fi
  properties="${words[1]}"
  if [[ "$properties" == - ]]; then properties="$(cat)"; fi
  if ! is_object "$properties"; then die 'the properties must be a JSON object such as {"on": true}'; fi
  body="{\"stream\":$(json_string "$option_stream"),\"source\":$(json_string "$option_source")"
  if [[ -n "$option_event_id" ]]; then body+=",\"eventId\":$(json_string "$option_event_id")"; fi
  body+=",\"payload\":{\"entity_id\":$(json_string "${words[0]}"),\"properties\":$properties}}"
  request_with POST /api/events "$body"
}

# is_object TEXT: a text without jq to judge it must at least look like an object.
is_object() {
  if command -v jq >/dev/null; then
    printf '%s' "$1" | jq -es 'length == 1 and (.[0] | type == "object")' >/dev/null 2>&1
  else
    [[ "$1" =~ ^[[:space:]]*\{.*\}[[:space:]]*$ ]]
  fi
}

get() {
  take_words -- "$@"
  need_words 1 "one id"
  local path
  path="$(entity_path "${words[0]}")"
  request GET "$path"
}

list() {
  local option_namespace="" option_prefix="" query=""
  take_words namespace prefix -- "$@"
  need_words 0 "only --namespace and --prefix"
  if [[ -n "$option_namespace" ]]; then query+="&namespace=$(percent_encode "$option_namespace")"; fi
  if [[ -n "$option_prefix" ]]; then query+="&prefix=$(percent_encode "$option_prefix")"; fi
  request GET "/api/state/entities${query:+?${query#&}}"
}

delete() {
  take_words -- "$@"
  need_words 1 "one id; batch-delete takes more"
  local path
  path="$(entity_path "${words[0]}")"
  request DELETE "$path"
}

batch_delete() {
  local option_namespace="" option_prefix="" chosen=() ids=() word
  take_words namespace prefix -- "$@"
  for word in ${words[@]+"${words[@]}"}; do ids+=("$(json_string "$word")"); done
  if ((${#ids[@]})); then chosen+=("\"entity_ids\":[$(joined "${ids[@]}")]"); fi
  if [[ -n "$option_namespace" ]]; then chosen+=("\"namespace\":$(json_string "$option_namespace")"); fi
  if [[ -n "$option_prefix" ]]; then chosen+=("\"prefix\":$(json_string "$option_prefix")"); fi
  if ((${#chosen[@]} != 1)); then misuse "batch-delete takes ids, --namespace or --prefix, just one of them"; fi
  request_with POST /api/state/entities/delete "{${chosen[0]}}"
}

batch() {
  take_words -- "$@"
  need_words 1 "one file, or -"
  if [[ "${words[0]}" == - ]]; then
    request POST /api/events/batch --data-binary @-
  elif [[ -r "${words[0]}" && ! -d "${words[0]}" ]]; then
    request POST /api/events/batch --data-binary @- <"${words[0]}"
  else
    die "cannot read ${words[0]}"
  fi
}

admin_config() {
  local changes=() word
  token="${FLUX_ADMIN_TOKEN:-$token}"
  take_words -- "$@"
  for word in ${words[@]+"${words[@]}"}; do
    if [[ "$word" != ?*=* ]]; then misuse "$word changes nothing: write NAME=VALUE"; fi
    changes+=("$(json_string "${word%%=*}"):$(json_value "${word#*=}")")
  done
  if ((${#changes[@]})); then
    request_with PUT /api/admin/config "{$(joined "${changes[@]}")}"
  else
    request GET /api/admin/config
  fi
}

plain_get() { # plain_get PATH ARGUMENT...
  local path="$1"
  shift
  take_words -- "$@"
  need_words 0 "no argument"
  request GET "$path"
}

check_environment() {
  url="${FLUX_URL:-http://localhost:3000}"
  url="${url%/}"
  if [[ ! "$url" =~ ^https?://. || "$url" == *[[:space:][:cntrl:]@?#]* ]]; then
    die "FLUX_URL must look like http://localhost:3000, without user, password or query"
  fi
  token="${FLUX_TOKEN:-}"
  if [[ "$token${FLUX_ADMIN_TOKEN:-}" == *[![:graph:]]* ]]; then
    die "a token must be printable ASCII without spaces or line ends; check FLUX_TOKEN and FLUX_ADMIN_TOKEN"
  fi
  if ! command -v curl >/dev/null; then die "curl was not found; install it"; fi
}

main() {
  command="${1:-}"
  case "$command" in
    "") usage >&2; exit 1 ;;
    help | -h | --help) usage; exit 0 ;;
  esac
  shift
  check_environment
  answer="$(mktemp)"
  trap 'rm -f -- "$answer"' EXIT
  case "$command" in
    health) plain_get /api/health "$@" ;;
    publish) publish "$@" ;;
    get) get "$@" ;;
    list) list "$@" ;;
    delete) delete "$@" ;;
    batch-delete) batch_delete "$@" ;;
    batch) batch "$@" ;;
    connectors) plain_get /api/connectors "$@" ;;
    admin-config) admin_config "$@" ;;
    *) misuse "there is no command $command" ;;
  esac
}

main "$@"
