"""Short made-up requests to an assistant at home, in English and Russian: data for the lab.

There are six intents, and of each 25 requests in either language: every beginning with every end.
"""

INTENTS = ("weather", "alarm", "music", "light", "travel", "food")

ENGLISH = (
    (("Will it rain", "What is the weather like", "How cold will it be", "Is it going to be sunny", "Any wind"),
     ("tomorrow", "in London", "this evening", "at the weekend", "near the lake")),
    (("Wake me", "Set an alarm", "Remind me to get up", "Ring loudly", "Do not let me sleep"),
     ("at seven", "tomorrow morning", "in half an hour", "before work", "on Sunday")),
    (("Play some jazz", "Put on my favourite song", "Turn up the radio", "Start a quiet album", "I want to hear rock"),
     ("for dinner", "in the kitchen", "this evening", "from the eighties", "until nine")),
    (("Switch off the lamp", "Make it brighter", "Dim the lights", "Turn on the light", "It is too dark"),
     ("in the kitchen", "in the hall", "near the bed", "until tomorrow", "at sunset")),
    (("When does the train leave", "Book a seat on the bus", "Find the way", "How long is the drive", "I need a taxi"),
     ("to London", "to the airport", "to work", "at seven", "on Sunday")),
    (("Order a pizza", "I would like some soup", "Find a recipe for a cake", "What is there to eat", "Buy some bread"),
     ("for dinner", "for four people", "without cheese", "this evening", "at the weekend")),
)  # fmt: skip
RUSSIAN = (
    (("Будет ли дождь", "Какая погода", "Сильно ли похолодает", "Ожидается ли солнце", "Какой ветер"),
     ("завтра", "в Москве", "сегодня вечером", "в выходные", "у озера")),
    (("Разбуди меня", "Поставь будильник", "Напомни, что пора вставать", "Позвони погромче", "Не дай мне проспать"),
     ("в семь", "завтра утром", "через полчаса", "перед работой", "в воскресенье")),
    (("Включи джаз", "Поставь любимую песню", "Сделай радио громче", "Найди спокойный альбом", "Хочу послушать рок"),
     ("к ужину", "на кухне", "сегодня вечером", "из восьмидесятых", "до девяти")),
    (("Выключи лампу", "Сделай ярче", "Приглуши освещение", "Включи свет", "Здесь слишком темно"),
     ("на кухне", "в коридоре", "у кровати", "до завтра", "на закате")),
    (("Когда отходит поезд", "Забронируй место в автобусе", "Найди дорогу", "Сколько ехать", "Мне нужно такси"),
     ("до Москвы", "до аэропорта", "до работы", "в семь", "в воскресенье")),
    (("Закажи пиццу", "Хочу немного супа", "Найди рецепт пирога", "Что можно поесть", "Купи немного хлеба"),
     ("к ужину", "на четверых", "без сыра", "сегодня вечером", "в выходные")),
)  # fmt: skip


def requests() -> tuple[list[str], list[int]]:
    """(texts, intents): 300 requests, and of each the number of its intent.

    >>> from fastnn.lab.phrases import INTENTS, requests
    >>> texts, intents = requests()
    >>> len(texts), texts[0], INTENTS[intents[0]]
    (300, 'Will it rain tomorrow', 'weather')
    """
    found = [(f"{begin} {end}", intent) for language in (ENGLISH, RUSSIAN)
             for intent, (begins, ends) in enumerate(language) for begin in begins for end in ends]
    return [text for text, _ in found], [intent for _, intent in found]
