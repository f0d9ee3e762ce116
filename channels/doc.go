// Package channels names the chat channels that a program wants, keeps the set
// of them, watches where that set comes from, and says which account carries
// which channel.
//
// # Names
//
// A [Name] says platform and channel: twitch:forsen, irc:libera/#go,
// discord:81384788765712384. [Parse] accepts exactly one spelling of a name,
// except that a Twitch login may carry a leading "#" and capital letters; it
// never guesses a platform. Twitch logins fold to lower case here, since Twitch
// knows no other. IRC channels do not: which letters are equal is for each
// network to say (CASEMAPPING), so irc:libera/#Go and irc:libera/#go are two
// names until the connection knows better.
//
// # The wanted set
//
// A [Set] is an immutable, ordered set of names with their [Settings]; the
// order is that in which they were listed, and is the order in which channels
// are joined. [Diff] says what changed between two.
//
// A [Source] reports sets for as long as its Watch runs. [Fixed] never changes
// (a configuration that was read once), [File] is a file that is edited while
// the program runs, and [Merged] unites several: where two list the same name,
// the settings of the source named first count. Within one source a name may
// stand once.
//
// # The file
//
// One name a line, followed by settings if there are any:
//
//	// streamers
//	twitch:forsen
//	twitch:xqc account=bot2 cap_exempt=true
//	irc:libera/#go   ; the compiler people
//	# irc:libera/#off  (off for now)
//
// A line or the rest of a line is a comment where a field begins with "//" or
// ";", or is a lone "#". A line that begins with "#" is a comment too, for no
// name begins so. Only a line that is nothing but "#word" is refused: it is
// more likely a channel than a comment, and would be missing silently.
//
// The file is polled (stat, and a hash of the content where stat leaves doubt),
// because that works on every file system and survives editors that replace
// the file and symbolic links that are swapped. A change counts once two polls
// agree on it, so a file that is seen half written does no harm; a bad line, a
// file that is gone, or one that was cut to nothing leaves the set as it was
// and is reported.
//
// # Accounts
//
// [Assign] spreads a set over the accounts of a pool, within their caps and
// without moving what was placed before. Twitch allows 100 joined channels to
// a named account, verified or not, and does not count channels where the
// account is broadcaster or moderator ([Settings.CapExempt]); anonymous
// accounts have no cap.
//
// # Goroutines
//
// Only [Merged] starts any, one for each source, and its Watch waits for them.
package channels
