"""The word lists by which tools and their arguments are classified."""

from __future__ import annotations

from remit.provenance.lexicon import listed

READS = listed(
    "get list search find read fetch show view look lookup query check browse describe count "
    "retrieve download inspect preview summarize open track compare calculate compute convert "
    "translate validate verify analyze analyse explain help status whoami ping rank recommend "
    "suggest select filter estimate monitor resolve visit navigate predict forecast wait sleep "
    "think scroll hover extract parse detect"
)
SENDS = listed(
    "send email mail forward reply respond message text dm notify inform invite share post "
    "publish tweet broadcast announce call alert submit upload push relay comment"
)
PAYS = listed(
    "pay transfer refund reimburse wire buy purchase donate tip charge withdraw deposit "
    "checkout payout settle trade sell invest redeem"
)
DELETES = listed(
    "delete remove cancel erase drop clear purge discard trash wipe destroy terminate revoke "
    "kick unsubscribe ban expire prune truncate uninstall"
)
EXECUTES = listed(
    "run execute exec eval evaluate deploy install invoke trigger launch restart start stop "
    "kill shell apply spawn script migrate build"
)
WRITES = listed(
    "create add update edit modify change set write append insert put save move rename schedule "
    "reschedule copy replace mark assign label tag archive merge close reopen reserve book "
    "order register record store remember log draft make generate import export sync upsert "
    "patch adjust join leave follow star subscribe enable disable reset configure attach pin "
    "approve accept reject decline rsvp confirm sign enroll commit fork clone convert rate "
    "review place"
)
ADMIN_NOUNS = listed(
    "password passphrase credential credentials secret secrets token tokens permission "
    "permissions role roles privilege privileges policy acl firewall iam mfa otp admin sso "
    "apikey"
)
MONEY_NOUNS = listed(
    "money payment payments transaction transactions transfer invoice order refund subscription "
    "wallet payout purchase card charge"
)
TOLD = listed(
    "comment reply message post tweet announcement invitation review notification reminder"
)
"""Nouns of what others come to read when somebody makes it."""
COUNTS = listed("page line row column phone card batch max min total")
"""What a number counts or is, where it names no thing."""
OWN_FACTS = listed(
    "current day date time now today timezone balance iban user info profile account settings "
    "preferences version status quota locale currency me my whoami identity information weather"
)
"""Nouns of tools that tell what the platform itself knows, and nobody else wrote."""
PRIVATE = listed(
    "email emails mail mails message messages inbox file files document documents drive "
    "transaction transactions account profile user customer customers contact contacts calendar "
    "event events password secret secrets key keys balance iban order orders invoice patient "
    "salary payroll employee employees note notes memory record records database table vendor "
    "vendors supplier suppliers invoices payment payments accounts bank lead leads candidate "
    "candidates"
)
MESSAGES = listed(
    "email emails mail mails message messages inbox post posts comment comments review reviews "
    "issue issues ticket tickets chat thread threads feed notification notifications "
    "conversation dm dms discussion mention mentions pull request"
)
"""Nouns of what strangers can put before the user: who it is from is what they say."""
KEPT = listed(
    "file files note notes memory memories document documents page pages key drive record"
)

PLACES = listed(
    "repo repository project table database folder directory bucket org organization workspace "
    "tenant schema namespace cluster calendar"
)
"""What says which thing is meant even where something new is made in it."""

WHO = listed(
    "recipient recipients to cc bcc email emails participant participants attendee attendees "
    "invitee invitees guest guests user users username member members contact contacts payee "
    "beneficiary iban account phone assignee assignees owner reviewer reviewers receiver "
    "receivers collaborator collaborators customer merchant vendor group team person people "
    "mention mentions"
)
WHERE = listed(
    "url urls uri link links endpoint webhook host hostname domain channel channels destination "
    "server bucket room conversation remote callback redirect site website address origin "
    "registry topic queue"
)
WHICH = listed(
    "id ids uuid key path paths file files filename filepath folder directory name title branch "
    "repo repository table database project ticket issue event order reservation attachment "
    "attachments record slug identifier number ref tag hotel restaurant flight company car item "
    "items product resource target object instance cluster namespace service source src ts thread "
    "symbol ticker"
)
AMOUNT = listed(
    "amount price quantity total sum value limit budget tip cost rate count fee max maximum"
)
ACCESS = listed(
    "password passphrase secret token permission permissions role roles scope scopes visibility "
    "public access privilege privileges acl credential credentials pin otp"
)
WHEN = listed("date time day start end start_time end_time due deadline until when at timestamp")
PAYLOAD = listed(
    "body content text message subject title description comment note summary html markdown "
    "caption reason memo details data value query reference currency language locale format"
)
EGRESS = listed("url urls uri link links endpoint webhook host hostname domain website site")

PLATFORM_FIELDS = (
    *("id", "*_id", "id_", "ids", "uuid", "uid", "number", "*_number", "sha", "version"),
    *("date", "*_date", "time", "*_time", "*_at", "timestamp", "created", "modified", "updated"),
    *("last_*", "due", "start", "end", "day", "status", "state", "type", "kind", "size", "count"),
    *("total", "amount", "price", "cost", "fee", "balance", "currency", "rating", "quantity"),
    *("owner", "sender", "from", "author", "to", "cc", "bcc", "recipient", "recipients"),
    *("participants", "attendees", "members", "shared_with", "assignee", "assignees", "users"),
    *("email", "*_email", "emails", "iban", "account", "phone", "role", "roles", "permission"),
    *("permissions", "is_*", "has_*", "recurring", "read", "all_day", "channel", "user"),
)
"""Fields that platforms fill in themselves. Only values that look like it count."""
CLAIMS = ("sender", "from", "author", "reply_to", "cc", "user")
"""Fields of messages in which strangers say who they are."""
