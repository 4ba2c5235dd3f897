"""Why a call went where it went: kept for the latest calls, and worked out for calls that nobody has made."""
